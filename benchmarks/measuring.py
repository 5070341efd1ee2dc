"""Measures seconds and memory, of calls and of processes."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

# On Linux a process begins with the peak memory of the one that started it, which may be large: so
# a small one does that, and writes what its child has used to a file descriptor.
LAUNCH = """
import json, os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
os.write(int(sys.argv[1]), json.dumps(tuple(usage)).encode())
sys.exit(code)
"""


def timed(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak_bytes(usage: resource.struct_rusage | None = None) -> int:
    """Returns the peak of the resident memory in bytes; without `usage`, of this process."""
    usage = usage or resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_python(*arguments, **settings) -> tuple[float, resource.struct_rusage]:
    """Runs Python in a process of its own, with `settings` of `subprocess.Popen`.

    Returns:
        Its seconds; and what it has used, with the processes that it has started itself: their
        processor time together, and the peak memory of the largest of them.
    """
    command = [sys.executable, *map(str, arguments)]
    reader, writer = os.pipe()
    started = time.perf_counter()
    launched = [sys.executable, "-c", LAUNCH, str(writer), *command]
    code = subprocess.run(launched, pass_fds=[writer], check=False, **settings).returncode
    seconds = time.perf_counter() - started
    os.close(writer)
    with open(reader, "rb") as file:
        usage = resource.struct_rusage(json.load(file))
    if code:
        raise subprocess.CalledProcessError(code, command)
    return seconds, usage


def run_quietly(*arguments) -> tuple[float, resource.struct_rusage]:
    """Does the same without what Python prints."""
    return run_python(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def result_of(*arguments):
    """Runs Python in a process of its own; returns the last line that it prints, which is JSON."""
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def random_photos(*shape: int) -> np.ndarray:
    """Returns float32 noise in [0, 255], to run a network on."""
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def compare_with_bare(
    name: str,
    model: str,
    bare: Callable[[], object],
    whole: Callable[[], object],
    photos: int,
    rounds: int,
) -> float:
    """Times two ways alternately, so that other load on the machine disturbs both alike.

    Prints photos/s of each and their ratio.

    Args:
        name: Of the whole way.
        model: What it runs, for the output.
        bare: Runs the bare forward pass on that many photos.
        whole: Does all that is measured with that many photos.
        photos: Int.
        rounds: Int; one more comes first, which traces and fills the caches, and does not count.

    Returns:
        The rate of the whole way as a fraction of the bare one's, the median over rounds.
    """
    ratios = []
    for turn in range(rounds + 1):
        of_bare, of_whole = (photos / timed(way) for way in (bare, whole))
        if turn:
            ratios.append(of_whole / of_bare)
            print(f"round {turn}: bare forward {of_bare:.2f} photos/s, {name} {of_whole:.2f}")
    median = statistics.median(ratios)
    print(
        f"{model}: {name} reaches {median:.2f} of the bare forward pass on {photos} photos (median "
        f"of {rounds}; {min(ratios):.2f} to {max(ratios):.2f}).",
        flush=True,
    )
    return median
