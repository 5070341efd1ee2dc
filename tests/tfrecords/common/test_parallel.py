"""Work on all cores gives what one core would, in order, and leaves no process behind."""

import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from paths import PYTHONPATH, REPOSITORY

from tfrecords.common import parallel
from tfrecords.common.console import UserError
from tfrecords.common.parallel import (
    PENDING_PER_WORKER,
    available_cores,
    map_on_cores,
    map_on_threads,
)


def add(number, other):
    warnings.warn("odd metadata", stacklevel=1)
    return number + other


def process_of(item, delay):
    time.sleep(delay)
    return os.getpid()


def end_on_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def raise_on_three(number):
    if number == 3:
        raise KeyError(number)
    return number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_without_warnings(processes):
    results = map_on_cores(add, range(50), processes, settings=(100,))
    assert list(results) == list(range(100, 150))


def test_the_work_is_done_in_processes_that_end_with_it():
    pids = set(map_on_cores(process_of, range(20), 2, settings=(0.0,)))
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_items_are_taken_no_further_ahead_than_results_are():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = map_on_cores(add, items(), 2, settings=(0,))
    next(results)
    assert len(taken) == PENDING_PER_WORKER * 2 + 1
    results.close()


@pytest.mark.parametrize("map_in_order", [map_on_cores, map_on_threads])
def test_an_error_of_the_work_is_raised_here(map_in_order):
    with pytest.raises(KeyError, match="3"):
        list(map_in_order(raise_on_three, range(10), 2))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_give_results_in_order_and_take_items_no_further_ahead(threads):
    taken = []
    items = (taken.append(number) or number for number in range(100))
    results = map_on_threads(lambda number: 2 * number, items, threads)
    assert next(results) == 0
    assert len(taken) == (1 if threads == 1 else PENDING_PER_WORKER * threads + 1)
    assert list(results) == list(range(2, 200, 2))


def test_a_killed_process_is_reported():
    with pytest.raises(UserError, match=r"was killed, .* again with --processes 1\."):
        list(map_on_cores(end_on_three, range(10), 2))


def test_an_item_that_kills_its_process_costs_no_other_item():
    results = map_on_cores(end_on_three, [*range(20), 3], 2, if_killed=lambda item: -item)
    assert list(results) == [0, 1, 2, -3, *range(4, 20), -3]


def test_processes_that_cannot_start_are_no_fault_of_the_items():
    code = (
        "from tfrecords.common.parallel import map_on_cores\n"
        "print(list(map_on_cores(abs, [1, 2], 2, if_killed=lambda item: 'killed')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-"],  # without a file that a new process could import
        input=code,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "UserError: A new process ends before it has any work; " in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="binds this process to a core")
def test_cores_are_those_this_process_is_bound_to():
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(bound)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, bound)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/elsewhere\n", {"cpu.max": "300000 100000"}, 3),  # a container sees its own root
        (
            "4:memory:/a\n1:cpu,cpuacct:/a\n0::/\n",
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_a_quota_of_a_container_is_that_of_its_cgroups(tmp_path, groups, files, quota):
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "cgroup").write_text(groups)
    assert parallel._cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == quota


def test_a_part_of_a_core_counts_as_one(monkeypatch):
    monkeypatch.setattr(parallel, "_cgroup_quota", lambda: 0.5)
    assert available_cores() == 1


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_killed_parent_leaves_no_process(tmp_path):
    code = (
        "import os, sys, time\n"
        "from tfrecords.common.parallel import map_on_cores\n"
        "from tests.tfrecords.common.test_parallel import process_of\n"
        "if __name__ == '__main__':\n"
        "    for pid in map_on_cores(process_of, range(1000), 2, settings=(0.05,)):\n"
        "        print(pid, flush=True)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its resource tracker reports what the kill left
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
    )
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _is_running(child):
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.05)


def _is_running(pid):
    """A process that has ended may stay as a zombie where nobody reaps orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
