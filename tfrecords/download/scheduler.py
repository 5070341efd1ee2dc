"""Whose turn it is: photos wait in one line per server, and the servers take turns."""

import heapq
import itertools
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

TRIED_AT_ONCE = 2  # times `per_host`: photos of one server that are started and not yet settled


@dataclass(slots=True, eq=False)
class Host:
    """The line of one server.

    Attributes:
        name: Host and port, as in the URL.
        waiting: Numbers of photos, the first `taken` of which have been started.
        again: Tasks to be tried again, or that were sent here from another server.
        running: Requests under way.
        open: Photos of this line that are started and not settled.
        failures: Its photos that came to nothing, one after another, up to now.
        rests_until: When it may be asked again.
        ready: Whether it stands among those whose turn it may be.
    """

    name: str
    waiting: array
    taken: int = 0
    again: deque = field(default_factory=deque)
    running: int = 0
    open: int = 0
    failures: int = 0
    rests_until: float = 0.0
    ready: bool = False


@dataclass(slots=True, eq=False)
class Task:
    """A photo that is being fetched.

    Attributes:
        number: Its place in the list of photos.
        location: URL to ask for next.
        home: The line it came from; it counts as open there until it is settled.
        host: The line of the server to ask next: another one after a redirect.
        tries: How often it has been tried again.
        hops: How many redirects it has followed.
    """

    number: int
    location: str
    home: Host
    host: Host
    tries: int = 0
    hops: int = 0


class HostQueue:
    """Hands out photos so that no server is asked too much and none holds up the others.

    Times are those of `time.monotonic`, passed in.

    Args:
        waiting: Server -> numbers of photos to ask it for.
        locations: Gives the URL of a photo's number.
        per_host: Requests to one server at once.
        delay: Seconds between the starts of two of them.

    Attributes:
        unsettled: Photos that nothing final is known of.
    """

    def __init__(
        self,
        waiting: dict[str, array],
        locations: Callable[[int], str],
        per_host: int,
        delay: float,
    ):
        self._locations = locations
        self._per_host = per_host
        self._delay = delay
        self._hosts = {server: Host(server, numbers) for server, numbers in waiting.items()}
        self._ready = deque()
        self._later = []  # heap of (when, tie-breaker, host, task or None)
        self._ties = itertools.count()
        self.unsettled = sum(len(numbers) for numbers in waiting.values())
        for host in self._hosts.values():
            self._line_up(host)

    def take(self, now: float) -> Task | None:
        """Returns the next photo to ask for, or None if none may be asked for now."""
        while self._later and self._later[0][0] <= now:
            _, _, host, task = heapq.heappop(self._later)
            if task is not None:
                host.again.append(task)
            self._line_up(host)
        while self._ready:
            host = self._ready.popleft()
            host.ready = False
            if host.rests_until > now:
                self._wake(host, host.rests_until)
            elif self._has_turn(host):
                return self._start(host, now)
        return None

    def next_time(self) -> float:
        """When `take` may have something that it does not have now; infinity if never."""
        return self._later[0][0] if self._later else float("inf")

    def ended(self, task: Task) -> None:
        """To be called after each request, before anything else is done with the task."""
        task.host.running -= 1
        self._line_up(task.host)

    def try_again(self, task: Task, when: float) -> None:
        """Lets a photo wait for another try."""
        task.tries += 1
        self._wake(task.host, when, task)

    def redirect(self, task: Task, location: str, server: str) -> None:
        """Lines a photo up at the server that it was sent to."""
        task.hops += 1
        task.location = location
        task.host = self._host(server)
        task.host.again.append(task)
        self._line_up(task.host)

    def rest(self, host: Host, until: float) -> None:
        """Leaves a server alone for a while."""
        host.rests_until = max(host.rests_until, until)

    def settle(self, task: Task) -> None:
        """Takes a photo off the books."""
        self.unsettled -= 1
        task.home.open -= 1
        self._line_up(task.home)

    def give_up(self, host: Host) -> array:
        """Takes a server's photos that are not started off the books; returns them."""
        left = host.waiting[host.taken :]
        host.waiting, host.taken = array("L"), 0
        self.unsettled -= len(left)
        return left

    def _host(self, server):
        if server not in self._hosts:
            self._hosts[server] = Host(server, array("L"))
        return self._hosts[server]

    def _line_up(self, host):
        if not host.ready and self._has_turn(host):
            host.ready = True
            self._ready.append(host)

    def _has_turn(self, host):
        if host.running >= self._per_host:
            return False
        may_start = host.open < TRIED_AT_ONCE * self._per_host
        return bool(host.again) or (may_start and host.taken < len(host.waiting))

    def _start(self, host, now):
        if host.again:
            task = host.again.popleft()
        else:
            number = host.waiting[host.taken]
            host.taken += 1
            host.open += 1
            task = Task(number, self._locations(number), host, host)
        host.running += 1
        host.rests_until = max(host.rests_until, now + self._delay)
        self._line_up(host)
        return task

    def _wake(self, host, when, task=None):
        heapq.heappush(self._later, (when, next(self._ties), host, task))
