"""A run that is killed at random moments of every phase ends as if it never was."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import glr_keras

KILLS = 6  # in each phase
SECONDS = 600  # that one process may take to reach its phase
# Everything with a state: optimizer, schedule, dropout, average of weights, early stopping.
FLAGS = [
    *("--weights", "random", "--image-size", "32", "--views", "8", "--epochs", "12"),
    *("--head-units", "64", "--attention-channels", "16", "--batch-size", "4"),
    *("--optimizer", "adamw", "--weight-decay", "0.01", "--ema", "0.9", "--balance", "0.5"),
    *("--schedule", "cosine", "--warmup-epochs", "1.5", "--label-smoothing", "0.1"),
    *("--patience", "11"),
    # "auto" measures, so the two runs could compute in two precisions.
    *("--precision", "float32"),
]
# What a process prints when a phase begins, and how long the phase lasts, about.
PHASES = {
    "extraction": ("Features of train", 1.5),
    "training": ("Epoch ", 6.0),
    "evaluation": ("Measuring on", 1.0),
    "writing": ("Writing model", 4.0),
}


def start(data_dir, run_dir, log):
    command = [sys.executable, "-m", "glr_keras.fit", "--data-dir", data_dir, "--run-dir", run_dir]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*map(str, command), *FLAGS], stdout=log, stderr=subprocess.STDOUT, env=environment
    )


def kill_in(phase, delay, data_dir, run_dir, log_path):
    """Starts the command, kills it `delay` seconds after the phase has begun; False if it ended."""
    marker, _ = PHASES[phase]
    with open(log_path, "wb") as log, start(data_dir, run_dir, log) as process:
        end = time.monotonic() + SECONDS
        while marker.encode() not in log_path.read_bytes():
            if process.poll() is not None:
                return False
            assert time.monotonic() < end, f"{phase} was not reached"
            time.sleep(0.02)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def forget_views(data_dir):
    """Deletes half of the features, so that there is always something to extract."""
    for number in range(4, 8):
        for path in data_dir.glob(f"features/train-*/view-{number}.*"):
            path.unlink()


def files_of(run_dir):
    return {name: (run_dir / name).read_bytes() for name in ("history.csv", "metrics.json")}


def weights_of(run_dir):
    model = keras.saving.load_model(run_dir / "model.keras")
    assert isinstance(model, glr_keras.Recognizer)
    return model.get_weights()


@pytest.mark.slow
def test_a_run_killed_24_times_in_all_phases_ends_like_a_whole_one(demo_data, tmp_path):
    copies = [tmp_path / "data", tmp_path / "other-data"]
    for copy in copies:
        shutil.copytree(demo_data, copy, ignore=shutil.ignore_patterns("features"))
    killed, whole = tmp_path / "killed" / "run", tmp_path / "whole" / "run"
    moments = random.Random(0)
    kills = dict.fromkeys(PHASES, 0)
    for phase, (_, length) in PHASES.items():
        for _ in range(3 * KILLS):
            delay = moments.uniform(0, length)
            if phase == "extraction":
                forget_views(copies[0])
            kills[phase] += kill_in(phase, delay, copies[0], killed, tmp_path / "log")
            if kills[phase] == KILLS:
                break
            (killed / "metrics.json").unlink(missing_ok=True)  # it ended first: its end once more
    assert kills == dict.fromkeys(PHASES, KILLS)
    for data_dir, run_dir in zip(copies, (killed, whole), strict=True):
        with open(tmp_path / "log", "wb") as log, start(data_dir, run_dir, log) as process:
            assert process.wait(SECONDS) == 0, (tmp_path / "log").read_text()
    shown = {name: text.replace(b"other-data", b"data") for name, text in files_of(whole).items()}
    assert files_of(killed) == shown
    for weights, expected in zip(weights_of(killed), weights_of(whole), strict=True):
        np.testing.assert_array_equal(weights, expected)
    assert not (killed / "checkpoint").exists()
    for path in (copies[1] / "features").rglob("*.npy"):
        other = copies[0] / path.relative_to(copies[1])
        assert Path(other).read_bytes() == path.read_bytes(), path.name
