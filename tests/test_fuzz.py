"""Files that anyone may have made: each ends in a photo or a reason, in bounded time and memory."""

import os
import subprocess
import sys

import pytest
from paths import PYTHONPATH, REPOSITORY

QUICK, ALL = 2_000, 100_000  # mutated files of every format
QUICK_EXPORT, ALL_EXPORT = 200, 2_000  # through TensorFlow
MAX_SECONDS = 2  # for one file, or for a batch of an export, on a machine that is not loaded
MAX_MEGABYTES = 600


def fuzz(kind, count):
    script = REPOSITORY / "tests" / "helpers" / "fuzz.py"
    done = subprocess.run(
        [sys.executable, script, kind, str(count)],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]  # below zero: a signal ended it
    files, photos, seconds, megabytes = done.stdout.split()
    assert int(files) >= count
    assert int(photos) > count / 20
    assert int(megabytes) < MAX_MEGABYTES
    return float(seconds)


def test_mutated_files_end_in_a_photo_or_a_reason():
    fuzz("build", QUICK)


def test_mutated_files_do_no_harm_to_an_export():
    fuzz("export", QUICK_EXPORT)


@pytest.mark.slow
def test_a_hundred_thousand_mutated_files_end_in_a_photo_or_a_reason():
    assert fuzz("build", ALL) < MAX_SECONDS


@pytest.mark.slow
def test_two_thousand_mutated_files_do_no_harm_to_an_export():
    assert fuzz("export", ALL_EXPORT) < 20 * MAX_SECONDS  # of a batch of 20
