"""Threads that make requests; no request outlives its deadline, and no thread the user's Ctrl-C."""

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from tfrecords.download.connections import Request

TICK = 0.1  # seconds between two looks at the clock
GOODBYE = 1.0  # seconds that threads get to end; one that looks up a name can't be stopped


class Crew:
    """Threads that all do the same work on tasks.

    They are daemons: a thread that the system holds in a name server's silence ends with the
    process. All that is not the work itself happens in the thread that calls `start` and `done`.

    Args:
        workers: Number of threads.
        seconds: That one task may take.
        work: Called with a task and the `Request` by which it can be cut off.
    """

    def __init__(self, workers: int, seconds: float, work: Callable):
        self._seconds = seconds
        self._work = work
        self._tasks = SimpleQueue()
        self._results = SimpleQueue()
        self._under_way = {}
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def has_idle(self) -> bool:
        """Whether a thread is free for another task."""
        return len(self._under_way) < len(self._threads)

    def start(self, task) -> None:
        """Gives a task to a thread that is free."""
        request = Request(self._seconds)
        self._under_way[task] = request
        self._tasks.put((task, request))

    def done(self, wait: float) -> Iterator[tuple]:
        """Yields the tasks that have ended since, with what their work returned.

        Args:
            wait: Seconds to wait for one if there is none.

        Raises:
            Exception: what a task's work raised.
        """
        self._cut_overdue()
        try:
            result = self._results.get(timeout=min(max(wait, 0), TICK))
            while True:
                task, value, error = result
                del self._under_way[task]
                if error is not None:
                    raise error
                yield task, value
                result = self._results.get_nowait()
        except Empty:
            return

    def stop(self) -> list[tuple]:
        """Cuts off what is under way, and returns what has ended well in the meantime."""
        for _ in self._threads:
            self._tasks.put(None)
        end = time.monotonic() + GOODBYE
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            for request in list(self._under_way.values()):
                request.cut()
            time.sleep(TICK / 10)
        ended = []
        while not self._results.empty():
            task, value, error = self._results.get()
            if error is None:
                ended.append((task, value))
        return ended

    def _cut_overdue(self):
        now = time.monotonic()
        for request in self._under_way.values():
            if request.until <= now:
                request.cut()

    def _serve(self):
        while (order := self._tasks.get()) is not None:
            task, request = order
            try:
                self._results.put((task, self._work(task, request), None))
            except BaseException as error:
                self._results.put((task, None, error))
