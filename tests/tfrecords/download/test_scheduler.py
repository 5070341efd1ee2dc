"""Servers take turns, and none is asked too much."""

from array import array

from tfrecords.download.scheduler import HostQueue


def make_queue(per_host=2, delay=0.0, **photos):
    waiting = {server: array("L", numbers) for server, numbers in photos.items()}
    return HostQueue(waiting, lambda number: f"http://x/{number}", per_host, delay)


def take_all(queue, now=0.0):
    tasks = []
    while (task := queue.take(now)) is not None:
        tasks.append(task)
    return tasks


def numbers(tasks):
    return [task.number for task in tasks]


def test_servers_take_turns():
    queue = make_queue(per_host=9, a=[0, 1, 2, 3], b=[4], c=[5, 6])
    assert numbers(take_all(queue)) == [0, 4, 5, 1, 6, 2, 3]


def test_a_server_has_no_more_than_its_requests_at_once():
    queue = make_queue(per_host=2, a=[0, 1, 2, 3, 4], b=[5])
    first = take_all(queue)
    assert numbers(first) == [0, 5, 1]
    queue.ended(first[0])
    queue.settle(first[0])
    assert numbers(take_all(queue)) == [2]


def test_requests_to_a_server_keep_their_distance():
    queue = make_queue(delay=2.0, a=[0, 1], b=[2])
    assert numbers(take_all(queue, now=10.0)) == [0, 2]
    assert queue.next_time() == 12.0
    assert numbers(take_all(queue, now=11.9)) == []
    assert numbers(take_all(queue, now=12.0)) == [1]


def test_a_server_that_rests_is_not_asked_while_others_are():
    queue = make_queue(a=[0, 1], b=[2, 3])
    task = queue.take(0.0)
    queue.rest(task.host, 5.0)
    assert numbers(take_all(queue)) == [2, 3]
    assert numbers(take_all(queue, now=5.0)) == [1]


def test_another_try_waits_its_time_and_comes_before_new_photos():
    queue = make_queue(per_host=1, a=[0, 1, 2])
    task = queue.take(0.0)
    queue.ended(task)
    queue.try_again(task, 3.0)
    waiting = queue.take(1.0)
    assert waiting.number == 1
    queue.ended(waiting)
    queue.settle(waiting)
    assert queue.take(3.0) is task
    assert task.tries == 1


def test_photos_waiting_for_another_try_hold_new_ones_of_their_server_back():
    queue = make_queue(per_host=1, a=[0, 1, 2, 3], b=[4])
    for _ in range(2):
        task = queue.take(0.0)
        while task.home.name == "b":
            task = queue.take(0.0)
        queue.ended(task)
        queue.try_again(task, 9.0)
    assert {task.home.name for task in take_all(queue)} <= {"b"}
    assert numbers(take_all(queue, now=9.0)) == [0]


def test_a_redirected_photo_waits_at_its_new_server():
    queue = make_queue(per_host=1, a=[0, 1], b=[2])
    task, other = take_all(queue)
    queue.ended(task)
    queue.redirect(task, "http://b/0", "b")
    assert numbers(take_all(queue)) == [1]  # a is free, b is not
    queue.ended(other)
    assert queue.take(0.0) is task
    assert (task.location, task.hops) == ("http://b/0", 1)


def test_a_redirect_may_lead_to_a_new_server():
    queue = make_queue(a=[0])
    task = queue.take(0.0)
    queue.ended(task)
    queue.redirect(task, "http://new/0", "new")
    assert queue.take(0.0) is task
    queue.ended(task)
    queue.settle(task)
    assert queue.unsettled == 0


def test_giving_up_leaves_what_is_under_way():
    queue = make_queue(per_host=1, a=[0, 1, 2], b=[3])
    task = queue.take(0.0)
    assert list(queue.give_up(task.home)) == [1, 2]
    assert queue.unsettled == 2
    queue.ended(task)
    queue.settle(task)
    assert numbers(take_all(queue)) == [3]
    assert queue.unsettled == 1


def test_nothing_to_wait_for():
    assert make_queue().next_time() == float("inf")
