"""Simultaneous requests share forward passes: what waits while one is computed is the next."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Batcher:
    """Answers items that come one by one, as many at once as are waiting.

    Nothing waits for a batch to fill: an idle model starts at once, with one item. An item whose
    caller has gone away before its batch starts is not computed.

    Args:
        compute: From a list of items to a list of answers in the same order; called in one thread.
        max_batch: Int, items of one call.
    """

    def __init__(self, compute: Callable[[list], Sequence], max_batch: int = 32):
        self._compute = compute
        self._max_batch = max_batch
        self._waiting: asyncio.Queue[tuple[Any, asyncio.Future]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "forward-pass")

    async def answer(self, item) -> Any:
        """Returns the answer to `item`; raises what `compute` has raised."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    @contextlib.asynccontextmanager
    async def running(self):
        """Computes batches while the context is open."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._thread.shutdown(cancel_futures=True)

    async def _run(self):
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(item, future) for item, future in batch if not future.done()]
            if not batch:
                continue
            items = [item for item, _ in batch]
            try:
                answers = await loop.run_in_executor(self._thread, self._compute, items)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
            except Exception as error:  # each caller gets it, and the next batch is computed
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
