"""The run directory."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from paths import REPOSITORY
from plain_config import plain_config

from glr_keras.config import read_json
from glr_keras.runs.run_dir import RunDir, TrainingState
from tfrecords.common.console import UserError

CONFIG = plain_config(data_dir="data/x", run_dir="runs/x")


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "runs" / "x")
    claim(run)
    return run


def claim(run, config=CONFIG):
    with run.claim(config):
        pass


def state(step, best_epoch=-1):
    history = [{"epoch": e + 1, "loss": 0.1 * e} for e in range(best_epoch + 1)]
    return TrainingState(step, history, best_epoch)


def save(run, step, best_epoch=-1, best=()):
    """Saves two variables that tell the step."""
    variables = [np.full((2, 3), step, np.float32), np.array(step)]
    if best:
        run.save_best(best_epoch, iter(best))
    run.save_state(state(step, best_epoch), iter(variables))


def checkpoint_files(run):
    return sorted(path.name for path in (run.path / "checkpoint").iterdir())


def test_config_is_written_first_and_read_back(run):
    assert {path.name for path in run.path.iterdir()} == {".lock", "config.json"}
    assert read_json(run.path / "config.json") == CONFIG


def test_the_same_config_resumes(run):
    claim(run)


def test_another_config_is_refused_and_each_field_named(run):
    other = dataclasses.replace(CONFIG, alpha=0.5, head_units=(8,))
    message = r"head_units was \(4096, 4096\), now \(8,\); alpha was 0.25, now 0.5"
    with pytest.raises(UserError, match=message):
        claim(run, other)
    assert read_json(run.path / "config.json") == CONFIG


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty and holds no run \(thesis.txt"):
        claim(RunDir(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Can't write to .*Name another --run-dir"):
        claim(RunDir(tmp_path / "file" / "run"))


def test_of_two_configs_started_together_one_wins_and_its_config_is_the_one_written(tmp_path):
    """Two at a time, 300 times; the winner holds the directory until the other has ended."""
    configs = [dataclasses.replace(CONFIG, alpha=alpha) for alpha in (0.25, 0.5)]

    def start(run, config, together, loser_ended):
        together.wait()
        try:
            with run.claim(config):
                loser_ended.wait()
                return read_json(run.path / "config.json") == config
        except UserError as error:
            loser_ended.set()
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        for number in range(300):
            shared = RunDir(tmp_path / str(number)), threading.Barrier(2), threading.Event()
            run, *events = shared
            ends = [pool.submit(start, run, config, *events) for config in configs]
            ends = [end.result(timeout=60) for end in ends]
            refused = ends[0] if ends[1] is True else ends[1]
            assert True in ends
            assert re.search("Another process is at work in|holds a run of another config", refused)


def test_a_precision_that_the_run_began_with_stands_for_auto(run):
    auto = dataclasses.replace(CONFIG, precision="auto")
    assert run.resolve(auto) == auto
    claim(run, dataclasses.replace(CONFIG, precision="bfloat16"))
    assert run.resolve(auto).precision == "bfloat16"
    assert run.resolve(dataclasses.replace(auto, precision="float32")).precision == "float32"


def test_a_run_that_was_moved_is_the_same_run(run, tmp_path):
    moved = RunDir(run.path.rename(tmp_path / "elsewhere"))
    config = dataclasses.replace(CONFIG, run_dir=str(moved.path), data_dir="/abs/data/x")
    claim(moved, config)
    assert read_json(moved.path / "config.json") == config


@pytest.mark.parametrize("changed", ["records", "backbone_weights", "precision"])
def test_what_the_run_depends_on_must_stay(run, changed):
    inputs = {"records": "a", "backbone_weights": "b", "precision": "float32"}
    for _ in range(2):
        run.bind(inputs, {})
    inputs[changed] = "another"
    with pytest.raises(UserError, match=f"started with other {changed.replace('_', ' ')}"):
        run.bind(inputs, {})


def test_environment_names_versions_and_machine(run):
    run.bind({"records": "a"}, {"short_side": 128})
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"python", "platform", "processor", "cores", "commit", "versions"} <= set(environment)
    assert environment["short_side"] == 128
    assert environment["onednn"] in (True, False, None)
    assert {"tensorflow", "keras", "numpy"} <= set(environment["versions"])


def test_history_has_one_row_per_epoch_and_exact_numbers(run):
    run.write_history([{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3}])
    lines = (run.path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss", "1,0.1", f"2,{1 / 3!r}"]


def test_a_run_that_has_not_begun_has_no_state(run):
    assert run.load_state() == TrainingState(0, [], -1, False, [])


def test_state_comes_back_and_only_the_last_and_the_best_are_kept(run):
    save(run, 3)
    save(run, 5, 0, [np.arange(3.0)])
    save(run, 10, 1, [np.arange(3.0) + 1])
    save(run, 12, 1)
    loaded = run.load_state()
    assert (loaded.step, loaded.best_epoch, loaded.finished) == (12, 1, False)
    assert loaded.history == [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 0.1}]
    assert [v.read().dtype for v in loaded.variables] == [np.float32, np.int64]
    np.testing.assert_array_equal(loaded.variables[0].read(), np.full((2, 3), 12))
    assert loaded.variables[1].read() == 12
    (best,) = run.load_best(1)
    np.testing.assert_array_equal(best.read(), np.arange(3.0) + 1)
    assert checkpoint_files(run) == ["best-1.safetensors", "state-12.safetensors", "state.json"]


def test_only_the_best_is_kept_of_a_training_that_is_over(run):
    save(run, 3, 0, [np.zeros(2)])
    run.save_state(dataclasses.replace(state(5, 0), finished=True), [])
    loaded = run.load_state()
    assert (loaded.finished, loaded.variables) == (True, [])
    np.testing.assert_array_equal([array.read() for array in run.load_best(0)], [np.zeros(2)])
    assert checkpoint_files(run) == ["best-0.safetensors", "state.json"]


class KilledError(Exception):
    pass


@pytest.mark.parametrize("moment", range(5))
def test_a_kill_at_any_moment_of_saving_leaves_the_last_state_or_this_one(run, monkeypatch, moment):
    save(run, 5, 0, [np.zeros(1)])
    replace, unlink, left = os.replace, Path.unlink, [moment]

    def die_in_time(do):
        def do_or_die(*arguments, **settings):
            if not left[0]:
                raise KilledError
            left[0] -= 1
            return do(*arguments, **settings)

        return do_or_die

    monkeypatch.setattr(os, "replace", die_in_time(replace))  # best, state, state.json
    monkeypatch.setattr(Path, "unlink", die_in_time(unlink))  # the old best, the old state
    with pytest.raises(KilledError):
        save(run, 10, 1, [np.ones(1)])
    monkeypatch.undo()
    expected = 10 if moment >= 3 else 5
    loaded = run.load_state()
    assert (loaded.step, loaded.best_epoch) == (expected, expected // 5 - 1)
    (best,) = run.load_best(loaded.best_epoch)
    assert best.read() == expected // 5 - 1
    np.testing.assert_array_equal(loaded.variables[0].read(), np.full((2, 3), expected))
    save(run, 15, 2, [np.full(1, 2)])  # what a kill left over goes
    assert checkpoint_files(run) == ["best-2.safetensors", "state-15.safetensors", "state.json"]


def test_a_complete_run_keeps_no_checkpoint(run):
    run.delete_checkpoint()
    save(run, 3)
    run.delete_checkpoint()
    assert not (run.path / "checkpoint").exists()


HOLD = (
    "import pathlib, sys\n"
    "from glr_keras.runs.run_dir import RunDir\n"
    "with RunDir(pathlib.Path(sys.argv[1])).locked():\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_a_run_that_another_process_holds_is_refused_until_that_ends(run):
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        message = f"Another process is at work in {re.escape(str(run.path))}. Wait for it to end"
        with pytest.raises(UserError, match=message), run.locked():
            pytest.fail("two at once")
        other.kill()  # not a clean end: the system lets go all the same
    with run.locked():
        run.check(CONFIG)  # the lock is no unexpected file


def test_what_a_start_that_was_killed_left_is_not_unexpected(tmp_path):
    for name in (".lock", ".tmp-0123456789abcdef.json"):
        (tmp_path / name).write_text("")
    claim(RunDir(tmp_path))
    assert read_json(tmp_path / "config.json") == CONFIG


@pytest.mark.parametrize("folder", ["", "figures", "checkpoint"])
def test_what_a_killed_process_left_is_deleted(run, folder):
    left_over = run.path / folder / ".tmp-0123456789abcdef.png"
    left_over.parent.mkdir(exist_ok=True)
    left_over.touch()
    claim(run)
    assert not left_over.exists()
