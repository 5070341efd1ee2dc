"""What a server does at most at once, and how it refuses what is more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Limits:
    """Bounds of one server.

    Attributes:
        photo_bytes: Of one file.
        held_bytes: Of all files in memory at once; further bodies are read when there is room.
        requests: Photos in work or waiting; more are refused with 503.
        body_seconds: In which a body must have come.
        work_seconds: In which a photo must have its answer.
    """

    photo_bytes: int = 32_000_000
    held_bytes: int = 256_000_000
    requests: int = 64
    body_seconds: float = 60.0
    work_seconds: float = 60.0


class Refusal(Exception):  # noqa: N818  # no error of ours: an answer
    """An answer with a status of 400 and above.

    Args:
        status: HTTP's.
        error: Short, for programs.
        detail: One or two sentences, for people.
        headers: Further headers.
    """

    def __init__(self, status: int, error: str, detail: str, **headers: str):
        super().__init__(detail)
        self.response = web.json_response(
            {"error": error, "detail": detail}, status=status, headers=headers
        )


def busy() -> Refusal:
    """The answer to what is too much."""
    headers = {"Retry-After": "2"}
    return Refusal(503, "busy", "Too many photos at once. Send it again in a moment.", **headers)


def too_slow() -> Refusal:
    """The answer to a body that does not come."""
    return Refusal(408, "too slow", "The photo did not come in time.")


class Admission:
    """Counts the requests in work and the bytes that they hold.

    Args:
        limits: Limits.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._requests = 0
        self._bytes = 0
        self._freed = asyncio.Condition()

    @contextlib.contextmanager
    def request(self):
        """Counts one request while it is open.

        Raises:
            Refusal: there are as many as allowed.
        """
        if self._requests >= self._limits.requests:
            raise busy()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @contextlib.asynccontextmanager
    async def memory(self, size: int) -> AsyncIterator[None]:
        """Waits until `size` bytes may be held, and counts them while it is open."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._bytes + size <= self._limits.held_bytes)
            self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            # Shielded: a client that goes away must not leave the others waiting.
            await asyncio.shield(self._notify())

    async def _notify(self):
        async with self._freed:
            self._freed.notify_all()


@contextlib.asynccontextmanager
async def within(seconds: float, refuse: Callable[[], Refusal]):
    """Raises what `refuse` returns where the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise refuse() from None
