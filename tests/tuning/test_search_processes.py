"""Searches in processes of their own: killed, with several workers, long. All are slow."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from paths import REPOSITORY
from search_trials import SMALL, read_csv

from glr_keras.config import read_json

pytestmark = pytest.mark.slow


def command_of(data, out, *flags):
    flags = ("--data-dir", data, "--out", out, *SMALL, *flags)
    return [sys.executable, "-m", "tuning.search", *map(str, flags)]


def run(command):
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False
    )


def start(command, log):
    with open(log, "w") as file:
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT)


def wait_for(condition, process):
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_table(out):
    """Rows of the table without what depends on time."""
    rows = read_csv(out / "trials.csv")
    return [{n: v for n, v in row.items() if not n.startswith("seconds")} for row in rows]


SPACE = ("--space", "alpha,beta", "--max-trials", "6")


@pytest.fixture(scope="module")
def whole(demo_data, tmp_path_factory):
    """A search that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(command_of(demo_data, out, *SPACE))
    assert done.returncode == 0, done.stderr
    return out


def test_a_killed_search_ends_the_same_after_the_same_command(whole, demo_data, tmp_path):
    out = tmp_path / "out"
    command = command_of(demo_data, out, *SPACE)
    process = start(command, tmp_path / "log")
    wait_for(lambda: (out / "trials" / "trial_0002" / "config.json").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = out / "trials" / "trial_0000" / "result.json"
    before = finished.read_bytes()
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert finished.read_bytes() == before
    assert read_table(out) == read_table(whole)


def test_ctrl_c_ends_with_the_command_that_resumes(demo_data, tmp_path):
    command = command_of(demo_data, tmp_path / "out", *SPACE)
    process = start(command, tmp_path / "log")
    wait_for(lambda: (tmp_path / "out" / "trials" / "trial_0000").exists(), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    text = (tmp_path / "log").read_text()
    assert "Interrupted. Resume it with: python -m tuning.search" in text
    assert "Traceback" not in text


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_workers_find_the_same_and_a_killed_one_resumes_its_trial(whole, demo_data, tmp_path):
    out = tmp_path / "out"
    process = start(command_of(demo_data, out, *SPACE, "--workers", "2"), tmp_path / "log")
    wait_for(lambda: len(list(out.glob("trials/trial_*/config.json"))) >= 2, process)
    oracle = json.loads((out / "trials" / "oracle.json").read_text())
    killed = oracle["ongoing_trials"]["worker1"]
    (worker,) = [one for one in children_of(process) if tuner_id(one) == "worker1"]
    worker.kill()
    assert process.wait(timeout=900) == 0, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert "worker1 ended (code -9); starting it again." in log
    assert "worker2 | trial" in log
    assert "Best of 6 trials" in log
    assert (out / "trials" / f"trial_{killed}" / "starts").read_text() == "xx"
    assert read_table(out) == read_table(whole)


def tuner_id(process):
    return process.environ().get("KERASTUNER_TUNER_ID")


def test_a_launcher_that_is_killed_ends_its_processes(demo_data, tmp_path):
    out = tmp_path / "out"
    process = start(command_of(demo_data, out, *SPACE, "--workers", "2"), tmp_path / "log")
    wait_for(lambda: len(list(out.glob("trials/trial_*/config.json"))) >= 1, process)
    children = children_of(process)
    assert len(children) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_hyperband_ends_with_a_config_that_fit_reproduces(demo_data, tmp_path):
    out = tmp_path / "out"
    flags = ("--tuner", "hyperband", "--max-trials", "8", "--space", "alpha,learning_rate")
    command = [flag if flag != "2" else "4" for flag in command_of(demo_data, out, *flags)]
    done = run(command)
    assert done.returncode == 0, done.stderr
    rows = read_table(out)
    assert len({row["epochs"] for row in rows}) > 1
    best = max(rows, key=lambda row: float(row["val_accuracy"] or 0))
    fit = run([sys.executable, "-m", "glr_keras.fit", "--config", str(out / "best_config.json")])
    assert fit.returncode == 0, fit.stderr
    trial = out / "trials" / f"trial_{best['trial']}"
    assert (out / "best" / "history.csv").read_bytes() == (trial / "history.csv").read_bytes()


def test_the_best_are_confirmed_and_the_winner_alone_is_tested(demo_data, tmp_path):
    out = tmp_path / "out"
    command = command_of(demo_data, out, "--space", "alpha", "--max-trials", "3", "--confirm", "2")
    done = run(command)
    assert done.returncode == 0, done.stderr
    rows = read_csv(out / "confirm.csv")
    assert len(rows) == 3
    for row in rows:
        scores = [float(row["seed_1"]), float(row["seed_2"])]
        assert float(row["mean"]) == pytest.approx(sum(scores) / 2)
    winner = max(rows, key=lambda row: float(row["mean"]))
    assert [path.parent.name for path in out.rglob("metrics.json")] == ["winner"]
    assert read_json(out / "winner" / "config.json").alpha == float(winner["alpha"])
    assert f"Winner: trial {winner['trial']}. On the test photos" in done.stdout
    again = run(command)
    assert "Winner: trial" in again.stdout


def test_memory_does_not_grow_from_trial_to_trial(demo_data, tmp_path):
    out = tmp_path / "out"
    flags = ("--space", "learning_rate", "--max-trials", "60")
    process = start(command_of(demo_data, out, *flags), tmp_path / "log")
    sizes = {}
    while process.poll() is None:
        done = len(list(out.glob("trials/trial_*/result.json")))
        if done not in sizes:
            sizes[done] = psutil.Process(process.pid).memory_info().rss
        time.sleep(0.05)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    # The first trials fill the pools of TensorFlow and Python.
    assert sizes[59] < 1.1 * sizes[20], {number: size >> 20 for number, size in sizes.items()}
