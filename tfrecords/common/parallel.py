"""Work spread over all cores: results in order, memory bounded, no process left behind."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tfrecords.common.console import UserError

AHEAD = 4  # items per process that may wait for their turn: bounds the memory


def map_on_cores(
    function: Callable[..., Any],
    items: Iterable,
    processes: int | None = None,
    settings: tuple = (),
) -> Iterator:
    """Yields `function(item, *settings)` for each of `items`, in their order.

    Warnings of `function` are dropped: Pillow warns of odd metadata; the picture is what counts.

    Args:
        function: Of a module, so that a new process finds it.
        items: Each worth some milliseconds of work, or sending it costs more than doing it.
        processes: Int, how many work at once; None for one per core; 1 works in this process.
        settings: Sent to each process once.

    Raises:
        UserError: a process was killed.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        for item in items:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = function(item, *settings)
            yield result
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start_worker, (function, settings)
    )
    try:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(_work, item))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A process that did a part of the work was killed, most likely because memory ran out. "
            f"Type the same command again with --processes {max(1, processes // 2)}."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_TASK = {}  # what a worker process was started with


def _start_worker(function, settings):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")
    _TASK.update(function=function, settings=settings)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)  # killed: nobody is left to read our results


def _work(item):
    return _TASK["function"](item, *_TASK["settings"])
