"""One server: which of its photos are still to be asked for, how fast, and whether it works."""

import asyncio
import random
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tfrecords.download.answers import Answer
from tfrecords.download.options import FetchOptions

# Photos in a row that one server fails or refuses before its others wait for another run
MAX_FAILURES = 30
# 429 and 503 in a row: over three hours with the default waits
MAX_THROTTLED = 100


class Host:
    """A server and its queue.

    Not more than `per_host` requests run at once and their starts keep `host_delay` apart. 429 and
    503 pause the server, twice as long each time, and are no failures. After `MAX_FAILURES` photos
    in a row without a usable answer the circuit opens: `problem` says why, and the rest of the
    queue is left for another run, since a dead server's time-outs would take days.

    Attributes:
        name: Host, and port if the URL has one.
        problem: Why no more of its photos are asked for in this run; None while they are.
        refused: (number, answer) of its photos that it refused since it last answered otherwise.
        served: Requests that it answered with anything but 429 and 503.
    """

    def __init__(self, name: str, numbers: array, options: FetchOptions):
        self.name = name
        self.problem: Answer | None = None
        self.refused: list[tuple] = []
        self.served = 0
        self._numbers = numbers  # 8 bytes each: there may be millions
        self._taken = 0
        self._options = options
        self._slots = asyncio.Semaphore(options.per_host)
        self._next_start = self._paused_at = 0.0  # by time.monotonic
        self._pauses = self._throttled = self._failures = 0

    def __len__(self) -> int:
        """Photos in the queue."""
        return len(self._numbers) - self._taken

    def next_photo(self) -> int | None:
        """Takes the number of a photo from the queue; None where it is empty or left for later."""
        if self.problem or not len(self):
            return None
        self._taken += 1
        return self._numbers[self._taken - 1]

    def take_rest(self) -> array:
        """Empties the queue."""
        rest, self._taken = self._numbers[self._taken :], len(self._numbers)
        return rest

    @asynccontextmanager
    async def turn(self, workers: asyncio.Semaphore) -> AsyncIterator[None]:
        """Waits until one more request may start: of this server and of all servers together."""
        async with self._slots:
            while True:
                while (wait := self._next_start - time.monotonic()) > 0 and not self.problem:
                    # Not all at once afterwards, and not always the same one first
                    await asyncio.sleep(wait * random.uniform(1, 1.1))
                async with workers:
                    if self._next_start > time.monotonic() and not self.problem:
                        continue  # paused while this one waited for a worker
                    self._next_start = time.monotonic() + self._options.host_delay
                    yield
                    return

    def answered(self, answer: Answer, started: float) -> None:
        """Takes note of an answer to a request that started then, by `time.monotonic`."""
        if answer.throttled:
            if started >= self._paused_at:  # else it was under way when the last pause began
                self._throttled += 1
                self._pauses += 1
            self._paused_at = time.monotonic()
            self.pause_until(self._paused_at + backoff(self._options, self._pauses, answer.wait))
            if self._throttled >= MAX_THROTTLED:
                self._open_circuit(answer, f"answered {answer.detail} {MAX_THROTTLED} times")
            return
        self.served += 1
        self._throttled = 0
        self._pauses = max(0, self._pauses - 1)  # not 0: a limit that was met is met again
        if answer.wait:
            self.pause_until(time.monotonic() + min(answer.wait, self._options.max_wait))

    def pause_until(self, end: float) -> None:
        """Starts no request before `end`, by `time.monotonic`."""
        self._next_start = max(self._next_start, end)

    def finished(self, answer: Answer) -> None:
        """Takes note of what a photo of its queue came to in the end."""
        if answer.reason == "refused" or (answer.temporary and not answer.throttled):
            self._failures += 1
        elif not answer.throttled:
            self._failures = 0
        if self._failures >= MAX_FAILURES and not self.problem:
            verb = "refused" if answer.reason == "refused" else "failed"
            self._open_circuit(answer, f"{verb} {MAX_FAILURES} photos ({answer.detail})")

    def _open_circuit(self, answer, what):
        self.problem = Answer(answer.reason, f"not asked: {self.name} {what} in a row")


def backoff(options: FetchOptions, tries: int, asked: float = 0.0) -> float:
    """Returns the seconds to wait before the next try.

    Twice as many for each try, and randomised, lest photos that failed together be tried again
    together; as many as the server asked for if these are more; never above `max_wait`.
    """
    seconds = options.backoff * 2 ** min(tries - 1, 30) * random.uniform(0.5, 1.5)
    return min(options.max_wait, max(seconds, asked))
