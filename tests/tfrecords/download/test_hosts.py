"""When a server is asked, by a clock that only sleeping moves on."""

import asyncio
from array import array
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tfrecords.download import hosts
from tfrecords.download.answers import Answer
from tfrecords.download.hosts import MAX_FAILURES, MAX_THROTTLED, Host, backoff
from tfrecords.download.options import FetchOptions

OPTIONS = FetchOptions(per_host=1)
THROTTLED = Answer("server error", "HTTP 429", throttled=True)
PHOTO = Answer(size=1)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Has the time as `now`; waits are not randomised."""
    clock = SimpleNamespace(now=1000.0)

    async def sleep(seconds):
        clock.now += seconds
        await asyncio.sleep(0)

    monkeypatch.setattr(hosts, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(hosts.random, "uniform", lambda low, high: 1.0)
    monkeypatch.setattr(hosts, "asyncio", SimpleNamespace(sleep=sleep, Semaphore=asyncio.Semaphore))
    return clock


def make_host(*numbers, **changes):
    return Host("photos.test", array("L", numbers), replace(OPTIONS, **changes))


def starts(host, clock, answers):
    """Seconds after which each request starts, if it is answered at once."""

    async def ask():
        for answer in answers:
            async with host.turn(asyncio.Semaphore(1)):
                times.append(clock.now - begin)
                host.answered(answer, clock.now)

    begin, times = clock.now, []
    asyncio.run(ask())
    return times


def test_requests_keep_their_distance(clock):
    assert starts(make_host(host_delay=2.0), clock, [PHOTO] * 3) == [0, 2, 4]


def test_pauses_double_up_to_the_limit_and_end_with_an_answer(clock):
    host = make_host(backoff=1.0, max_wait=5.0)
    answers = [*[THROTTLED] * 5, PHOTO, PHOTO, PHOTO]
    assert starts(host, clock, answers) == [0, 1, 3, 7, 12, 17, 17, 17]


def test_a_limit_that_was_met_is_remembered_for_a_while(clock):
    host = make_host(backoff=1.0)
    assert starts(host, clock, [THROTTLED] * 3 + [PHOTO] + [THROTTLED] * 2) == [0, 1, 3, 7, 7, 11]


def test_a_server_is_left_alone_as_long_as_it_asks(clock):
    answers = [replace(THROTTLED, wait=60.0), PHOTO]
    assert starts(make_host(), clock, answers) == [0, 60]
    assert starts(make_host(max_wait=9.0), clock, answers) == [0, 9]
    answers = [Answer("server error", "HTTP 500", wait=60.0), PHOTO]
    assert starts(make_host(), clock, answers) == [0, 60]


def test_requests_that_were_under_way_when_a_pause_began_count_once(clock):
    host = make_host(backoff=1.0)
    start = clock.now
    for _ in range(10):
        clock.now += 0.01
        host.answered(THROTTLED, start)
    assert starts(host, clock, [PHOTO])[0] == pytest.approx(1.0)


def test_a_worker_is_not_held_during_a_pause(clock):
    workers = asyncio.Semaphore(1)

    async def ask():
        host = make_host()
        host.pause_until(clock.now + 10)
        async with workers:
            waiting = asyncio.create_task(start(host))
            await asyncio.sleep(0)
        await waiting

    async def start(host):
        async with host.turn(workers):
            assert clock.now >= 1010

    asyncio.run(ask())


def test_throttling_is_no_failure_and_opens_the_circuit_in_the_end_only(clock):
    host = make_host(0)
    for _ in range(MAX_THROTTLED - 1):
        host.answered(THROTTLED, clock.now)
        host.finished(THROTTLED)
    assert host.problem is None
    host.answered(PHOTO, clock.now)
    for _ in range(MAX_THROTTLED):
        host.answered(THROTTLED, clock.now)
    assert host.problem == Answer(
        "server error",
        f"not asked: photos.test answered HTTP 429 {MAX_THROTTLED} times in a row",
    )


@pytest.mark.parametrize(
    ("answer", "verb"),
    [
        (Answer("refused", "HTTP 403"), "refused"),
        (Answer("no answer", "time-out"), "failed"),
        (Answer("server error", "HTTP 500"), "failed"),
    ],
)
def test_failures_in_a_row_open_the_circuit(answer, verb):
    host = make_host(7, 8)
    for _ in range(MAX_FAILURES - 1):
        host.finished(answer)
    host.finished(Answer("not found", "HTTP 404"))
    for _ in range(MAX_FAILURES - 1):
        host.finished(answer)
    assert host.next_photo() == 7
    host.finished(answer)
    assert host.problem == Answer(
        answer.reason,
        f"not asked: photos.test {verb} {MAX_FAILURES} photos ({answer.detail}) in a row",
    )
    assert host.next_photo() is None
    assert list(host.take_rest()) == [8]
    assert len(host) == 0


def test_backoff_doubles_and_has_a_limit():
    options = FetchOptions(backoff=0.5, max_wait=10.0)
    assert [backoff(options, tries) for tries in (1, 2, 3, 6, 10_000)] == [0.5, 1, 2, 10, 10]
    assert backoff(options, 1, asked=7.0) == 7.0
    assert backoff(options, 1, asked=70.0) == 10.0
