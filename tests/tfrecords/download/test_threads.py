"""Threads end with their task, at its deadline, or when the crew is told to stop."""

import threading
import time

import pytest

from tfrecords.download.threads import Crew


def wait_for_cut(task, request):
    while not request.is_cut:
        time.sleep(0.01)
    return task


def collect(crew, count):
    results = []
    while len(results) < count:
        results += crew.done(wait=1.0)
    return results


def test_every_task_is_done_once():
    crew = Crew(3, 60.0, lambda task, request: task**2)
    results = []
    for task in range(20):
        while not crew.has_idle():
            results += crew.done(wait=1.0)
        crew.start(task)
    results += collect(crew, 20 - len(results))
    assert sorted(results) == [(task, task**2) for task in range(20)]
    assert crew.stop() == []


def test_no_more_tasks_than_threads():
    crew = Crew(2, 60.0, wait_for_cut)
    crew.start("a")
    assert crew.has_idle()
    crew.start("b")
    assert not crew.has_idle()
    assert sorted(crew.stop()) == [("a", "a"), ("b", "b")]


def test_a_task_is_cut_off_at_its_deadline():
    crew = Crew(1, 0.05, wait_for_cut)
    crew.start("a")
    assert collect(crew, 1) == [("a", "a")]
    crew.stop()


def test_what_has_ended_when_it_stops_is_not_lost():
    ended = threading.Semaphore(0)
    crew = Crew(2, 60.0, lambda task, request: ended.release())
    crew.start("a")
    ended.acquire()
    crew.start("b")
    ended.acquire()
    assert sorted(crew.stop()) == [("a", None), ("b", None)]


def test_an_error_is_raised_where_the_results_are_taken():
    def fail(task, request):
        raise OSError(28, "No space left on device")

    crew = Crew(1, 60.0, fail)
    crew.start("a")
    with pytest.raises(OSError, match="No space left on device"):
        collect(crew, 1)
    crew.start("b")
    assert crew.stop() == []


def test_a_thread_that_can_not_be_stopped_is_left_behind():
    free = threading.Event()
    crew = Crew(1, 60.0, lambda task, request: free.wait())
    crew.start("a")
    assert crew.stop() == []
    free.set()
