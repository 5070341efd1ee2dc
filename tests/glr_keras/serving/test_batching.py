"""Requests that wait share a forward pass, and none of them harms another."""

import asyncio
import threading

import pytest

from glr_keras.serving.batching import Batcher


class Model:
    """Doubles numbers; holds its first batch until `go`; fails on a negative number."""

    def __init__(self):
        self.batches = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, items):
        self.batches.append(items)
        self.started.set()
        assert self.go.wait(10)
        if min(items) < 0:
            raise ArithmeticError(f"{min(items)} is negative")
        return [2 * item for item in items]


async def started(model):
    await asyncio.to_thread(model.started.wait, 10)


def test_what_waits_is_computed_at_once_and_each_gets_its_own():
    async def ask():
        model = Model()
        async with Batcher(model, max_batch=4).running() as batcher:
            tasks = [asyncio.create_task(batcher.answer(0))]
            await started(model)
            tasks += [asyncio.create_task(batcher.answer(number)) for number in range(1, 7)]
            await asyncio.sleep(0)  # they queue up
            model.go.set()
            return model.batches, await asyncio.gather(*tasks)

    batches, answers = asyncio.run(ask())
    assert answers == [0, 2, 4, 6, 8, 10, 12]
    assert batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_who_goes_away_is_not_computed():
    async def ask():
        model = Model()
        async with Batcher(model).running() as batcher:
            first = asyncio.create_task(batcher.answer(0))
            await started(model)
            gone, stays = (asyncio.create_task(batcher.answer(number)) for number in (1, 2))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            model.go.set()
            return model.batches, await first, await stays

    assert asyncio.run(ask()) == ([[0], [2]], 0, 4)


def test_a_failure_reaches_its_batch_and_the_next_one_is_computed():
    async def ask():
        model = Model()
        model.go.set()
        async with Batcher(model).running() as batcher:
            with pytest.raises(ArithmeticError, match="-1 is negative"):
                await batcher.answer(-1)
            return await batcher.answer(3)

    assert asyncio.run(ask()) == 6
