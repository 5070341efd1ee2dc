"""What is too much is refused or waits, and is counted no longer when it is done."""

import asyncio
import json

import pytest

from glr_keras.serving.limits import Admission, Limits, Refusal, too_slow, within


def test_more_requests_than_allowed_are_told_to_come_again():
    admission = Admission(Limits(requests=2))
    with admission.request():
        with admission.request(), pytest.raises(Refusal) as refused, admission.request():
            pass
        with admission.request():
            pass
    assert refused.value.response.status == 503
    assert refused.value.response.headers["Retry-After"] == "2"
    assert json.loads(refused.value.response.body)["error"] == "busy"


def test_files_wait_until_there_is_memory_even_where_one_goes_away():
    async def hold():
        admission = Admission(Limits(held_bytes=10))
        order = []

        async def take(name, size):
            async with admission.memory(size):
                order.append(name)

        async with admission.memory(8):
            waiting = [asyncio.create_task(take(name, 5)) for name in ("gone", "b", "c")]
            small = asyncio.create_task(take("small", 2))
            await small
            assert order == ["small"]
            waiting[0].cancel()
        await asyncio.gather(*waiting[1:])
        return order

    assert asyncio.run(hold()) == ["small", "b", "c"]


def test_what_takes_too_long_is_refused():
    async def wait():
        async with within(0.01, too_slow):
            await asyncio.Event().wait()

    with pytest.raises(Refusal, match="did not come in time") as refused:
        asyncio.run(wait())
    assert refused.value.response.status == 408
