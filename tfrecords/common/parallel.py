"""Work spread over all cores: results in order, memory bounded, no process left behind."""

import math
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfrecords.common.console import UserError

PENDING_PER_WORKER = 4  # items that may wait for their turn: bounds the memory


def available_cores() -> int:
    """Returns how many cores this process may use.

    `os.cpu_count()` is that of the machine. A process may be bound to some of these (affinity), and
    a container may have a quota of time on them.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return math.ceil(min(cores, _cgroup_quota()))


def _cgroup_quota(own=Path("/proc/self/cgroup"), root=Path("/sys/fs/cgroup")):
    """Returns the smallest quota, in cores, of the cgroups that this process is in.

    Version 2 has "max 100000" or "150000 100000" in `cpu.max`; version 1 has two files, and its
    controllers below folders of their own. Both count microseconds per period.
    """
    cores = math.inf
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, group = line.split(":", 2)
        folder = root / controllers / group.strip("/")
        for place in (folder, *folder.parents):
            if place == root.parent:
                break
            for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
                if all((place / name).is_file() for name in names):
                    quota, period = " ".join((place / name).read_text() for name in names).split()
                    if quota.isdecimal() and quota != "0":
                        cores = min(cores, int(quota) / int(period))
    return cores


def map_on_cores(
    function: Callable[..., Any],
    items: Iterable,
    processes: int | None = None,
    settings: tuple = (),
    if_killed: Callable[[Any], Any] | None = None,
) -> Iterator:
    """Yields `function(item, *settings)` for each of `items`, in their order.

    Warnings of `function` are dropped: Pillow warns of odd metadata; the picture is what counts.

    Args:
        function: Of a module, so that a new process finds it.
        items: Each worth some milliseconds of work, or sending it costs more than doing it.
        processes: Int, how many work at once; None for one per core; 1 works in this process.
        settings: Sent to each process once.
        if_killed: Gives the result of an item whose process was killed while it had that item
            only, most likely because memory ran out. Without it, any killed process is an error.

    Raises:
        UserError: a process was killed, and there is no `if_killed`.
    """
    processes = processes or available_cores()
    if processes == 1:
        for item in items:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = function(item, *settings)
            yield result
        return
    items = iter(items)
    pending: deque[list] = deque()
    while True:
        try:
            with process_pool(processes, _set_task, (function, settings)) as pool:
                yield from _in_order(pool, processes, _work, items, pending)
            return
        except BrokenProcessPool as error:
            if if_killed is None:
                raise UserError(
                    "A process that did a part of the work was killed, most likely because memory "
                    "ran out. Type the same command again with --processes "
                    f"{max(1, processes // 2)}."
                ) from error
        yield from _one_by_one(pending, function, settings, if_killed)


def map_on_threads(
    function: Callable[[Any], Any], items: Iterable, threads: int | None = None
) -> Iterator:
    """Yields `function(item)` for each of `items`, in their order.

    For work that leaves the interpreter lock alone, such as numpy's on large arrays: threads see
    what this process has in memory, which other processes would have to be sent.

    Args:
        threads: Int, how many work at once; None for one per core; 1 works in this thread.
    """
    threads = threads or available_cores()
    if threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield from _in_order(pool, threads, function, items, deque())
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool, workers, work, items, pending):
    """Yields results; what `pending` holds when the pool breaks has not been yielded.

    Args:
        pending: Empty deque; filled with lists of item and future.
    """
    for item in items:
        pending.append([item, None])
        pending[-1][1] = pool.submit(work, item)
        if len(pending) > PENDING_PER_WORKER * workers:
            yield _first(pending)
    while pending:
        yield _first(pending)


def _first(pending):
    result = pending[0][1].result()
    pending.popleft()
    return result


def _one_by_one(pending, function, settings, if_killed):
    """Yields the results of a broken pool's items, each done with no other one beside it."""
    while pending:
        with process_pool(1, _set_task, (function, settings)) as pool:
            try:
                while pending:
                    item, future = pending[0]
                    if future is None or isinstance(future.exception(), BrokenProcessPool):
                        pending[0][1] = pool.submit(_work, item)
                    yield _first(pending)
            except BrokenProcessPool:
                yield if_killed(pending.popleft()[0])


@contextmanager
def process_pool(
    processes: int, initializer: Callable | None = None, initargs: tuple = ()
) -> Iterator[ProcessPoolExecutor]:
    """Starts processes that leave Ctrl-C to this one, and end with the block or with this process.

    They are spawned: a forked child of a process with TensorFlow's threads can hang on their locks.

    Args:
        processes: Int, how many.
        initializer: Called with `initargs` in each process before any work.

    Raises:
        UserError: processes can't be started, so it is not what they work on that ends them.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, start_worker, (initializer, initargs))
    try:
        try:
            pool.submit(int).result()
        except BrokenProcessPool as error:
            raise UserError(
                "A new process ends before it has any work; what it said of that is above. In a "
                'script, the call must be below `if __name__ == "__main__":`, since a new process '
                "imports the script's file. With one process, none is started."
            ) from error
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker(initializer: Callable | None = None, initargs: tuple = ()) -> None:
    """Makes a new process one that ends with its parent, which alone hears Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer(*initargs)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)  # killed: nobody is left to read our results


_TASK: dict[str, Any] = {}  # what a worker process was started with


def _set_task(function, settings):
    warnings.simplefilter("ignore")
    _TASK.update(function=function, settings=settings)


def _work(item):
    return _TASK["function"](item, *_TASK["settings"])
