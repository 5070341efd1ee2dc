"""The run directory."""

import dataclasses
import json

import numpy as np
import pytest

from glr_keras.config import FitConfig, read_json
from glr_keras.run import RunDir, TrainingState
from tfrecords.console import UserError

CONFIG = FitConfig(data_dir="data/x", run_dir="runs/x")


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "runs" / "x")
    run.start(CONFIG)
    return run


def state(epoch, best_epoch=0):
    history = [{"epoch": e + 1, "loss": 0.1 * e} for e in range(epoch)]
    return TrainingState(epoch, history, best_epoch, [np.full((2, 3), epoch, np.float32)])


def test_config_is_written_first_and_read_back(run):
    assert [path.name for path in run.path.iterdir()] == ["config.json"]
    assert read_json(run.path / "config.json") == CONFIG


def test_the_same_config_resumes(run):
    run.start(CONFIG)


def test_another_config_is_refused_and_each_field_named(run):
    other = dataclasses.replace(CONFIG, alpha=0.5, head_units=(8,))
    message = r"head_units was \(4096, 4096\), now \(8,\); alpha was 0.25, now 0.5"
    with pytest.raises(UserError, match=message):
        run.start(other)
    assert read_json(run.path / "config.json") == CONFIG


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty and holds no run \(thesis.txt"):
        RunDir(tmp_path).start(CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Can't write to .*Name another --run-dir"):
        RunDir(tmp_path / "file" / "run").start(CONFIG)


@pytest.mark.parametrize("changed", ["records", "backbone_weights", "precision"])
def test_what_the_run_depends_on_must_stay(run, changed):
    inputs = {"records": "a", "backbone_weights": "b", "precision": "float32"}
    for _ in range(2):
        run.bind(inputs["records"], inputs["backbone_weights"], inputs["precision"])
    inputs[changed] = "another"
    with pytest.raises(UserError, match=f"started with other {changed.replace('_', ' ')}"):
        run.bind(inputs["records"], inputs["backbone_weights"], inputs["precision"])


def test_environment_names_versions_and_machine(run):
    run.bind("a", "b", "float32")
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"python", "platform", "cores", "commit", "versions"} <= set(environment)
    assert {"tensorflow", "keras", "numpy"} <= set(environment["versions"])


def test_history_has_one_row_per_epoch_and_exact_numbers(run):
    run.write_history([{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3}])
    lines = (run.path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss", "1,0.1", f"2,{1 / 3!r}"]


def test_state_comes_back_and_only_the_last_and_the_best_are_kept(run):
    assert run.load_state() is None
    for epoch, best_epoch in ((1, 0), (2, 1), (3, 1)):
        best = [np.arange(3.0) + epoch] if best_epoch == epoch - 1 else None
        run.save_state(state(epoch, best_epoch), best)
    loaded = run.load_state()
    assert (loaded.epoch, loaded.best_epoch, len(loaded.history)) == (3, 1, 3)
    np.testing.assert_array_equal(loaded.variables[0], np.full((2, 3), 3))
    np.testing.assert_array_equal(run.load_best(1)[0], np.arange(3.0) + 2)
    kept = sorted(path.name for path in (run.path / "checkpoint").iterdir())
    assert kept == ["best-1.npz", "state-3.npz", "state.json"]


def test_a_kill_while_saving_leaves_the_last_state(run, monkeypatch):
    run.save_state(state(1), [np.zeros(1)])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunDir, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save_state(state(2, 1), [np.ones(1)])
    loaded = run.load_state()
    assert loaded.epoch == 1
    assert run.load_best(loaded.best_epoch)[0] == 0
