"""Photos of an index become files: many at once, politely, and none is asked for twice."""

import random
import time
from collections.abc import Sequence
from contextlib import closing
from math import inf
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.download.addresses import BadAddressError, server_of
from tfrecords.download.client import Answer, Downloader
from tfrecords.download.journal import HAS_COME, Outcome, OutcomeJournal
from tfrecords.download.options import FetchOptions
from tfrecords.download.plan import FetchPlan, plan_fetch, url_of
from tfrecords.download.scheduler import HostQueue
from tfrecords.download.threads import Crew
from tfrecords.sources.photo_paths import photo_path

OUTAGE = 20  # photos in a row without an answer from anyone: time to look at the network (a guess)
PATIENCE = 30  # photos in a row that one server fails before its others wait for another run
PROBES = 3  # servers that are tried when the network is looked at


def fetch_photos(
    photos: Sequence[Photo], folder: Path, options: FetchOptions
) -> dict[str, Skipped]:
    """Fetches photos into a folder, those that are not there yet.

    A photo lies at `photo_path(folder, photo_id)`, byte for byte as it was served; whether it can
    be decoded is not looked at. `folder/downloads.csv` keeps what came of each URL: one that failed
    is not asked for again without `retry_failed`, another URL for the same photo is. A file that
    no line of it tells of is the user's own and stays as it is.

    Args:
        photos: With the URL as `location`; each `photo_id` once.
        folder: Made if it is not there.
        options: How to fetch.

    Returns:
        photo_id -> `Skipped` of each photo that could not be had, in the order of `photos`.

    Raises:
        UserError: the folder can't be written to or another process fetches into it, its journal is
            damaged, or the network is down.
        OSError: the disk is full. The same call goes on, as it does after Ctrl-C or a kill.
    """
    with OutcomeJournal(folder) as journal:
        plan = plan_fetch(photos, folder, options, journal)
        if plan.waiting:
            _Fetch(photos, folder, options, journal, plan).run()
    return {skipped.photo_id: skipped for _, skipped in sorted(plan.skipped.items())}


class _Fetch:
    """Carries out a plan; adds to its `skipped` what could not be had."""

    def __init__(self, photos, folder, options, journal, plan: FetchPlan):
        self._photos = photos
        self._folder = folder
        self._options = options
        self._journal = journal
        self._plan = plan
        self._downloader = Downloader(options)
        self._hosts = HostQueue(
            plan.waiting,
            lambda number: url_of(photos[number]),
            options.per_host,
            options.host_delay,
        )
        self._unproven = []  # outcomes that may be the fault of the user's own network
        self._size = self._failed = 0

    def run(self):
        total = self._hosts.unsettled
        with (
            closing(self._downloader),
            tqdm(total=total, desc="Fetching photos", unit=" photos") as bar,
        ):
            crew = Crew(self._options.workers, self._options.deadline, self._ask)
            try:
                self._work(crew, bar)
            finally:
                for task, answer in crew.stop():
                    if answer.size or (answer.reason and not answer.temporary):
                        self._settle(task, answer)

    def _work(self, crew, bar):
        start = time.monotonic()
        while self._hosts.unsettled:
            self._hand_out(crew)
            until = self._hosts.next_time() if crew.has_idle() else inf
            for task, answer in crew.done(until - time.monotonic()):
                self._digest(task, answer)
            speed = self._size / 1e6 / (time.monotonic() - start)
            bar.set_postfix_str(f"{speed:.1f} MB/s, {self._failed} failed", refresh=False)
            bar.update(bar.total - self._hosts.unsettled - bar.n)
        if self._unproven and self._network_is_up():
            self._write_unproven()

    def _ask(self, task, request):
        return self._downloader.ask(task.location, self._place(task), request)

    def _place(self, task):
        return photo_path(self._folder, self._photos[task.number].photo_id)

    def _hand_out(self, crew):
        while crew.has_idle():
            task = self._hosts.take(time.monotonic())
            if task is None:
                return
            crew.start(task)

    def _digest(self, task, answer):
        """Decides what comes after a request."""
        self._hosts.ended(task)
        if answer.location:
            self._follow(task, answer.location)
            return
        until = time.monotonic() + self._pause(task.tries, answer.wait or 0)
        if answer.wait is not None:
            self._hosts.rest(task.host, until)
        if answer.temporary and task.tries < self._options.retries:
            self._hosts.try_again(task, until)
        else:
            self._settle(task, answer)

    def _follow(self, task, location):
        limit = self._options.max_redirects
        if task.hops == limit:
            self._settle(task, Answer("too many redirects", f"more than {limit}"))
            return
        try:
            self._hosts.redirect(task, location, server_of(location))
        except BadAddressError as error:
            self._settle(task, Answer("bad address", f"after a redirect: {error}"))

    def _pause(self, tries, asked):
        """Seconds until the next try: twice as many each time, and drawn, lest photos that failed
        together be tried again together."""
        backoff = self._options.backoff * 2 ** min(tries, 30) * random.uniform(0.5, 1.5)
        return min(self._options.max_wait, max(backoff, asked))

    def _settle(self, task, answer):
        """Keeps what has come of a photo for good."""
        self._hosts.settle(task)
        self._size += answer.size
        if answer.reason:
            self._skip(task.number, answer.reason, answer.detail)
            if task.number in self._plan.replaced:
                self._place(task).unlink(missing_ok=True)  # a photo of another URL
        self._keep(task, answer)
        task.home.failures = task.home.failures + 1 if answer.temporary else 0
        if task.home.failures >= PATIENCE:
            self._give_up(task.home, answer.reason)

    def _skip(self, number, reason, detail):
        self._failed += 1
        self._plan.skipped[number] = Skipped(self._photos[number].photo_id, reason, detail)

    def _give_up(self, host, reason):
        """Leaves a server's other photos for another run: a dead one's would take days."""
        for number in self._hosts.give_up(host):
            self._skip(number, reason, f"not asked: {host.name} failed {PATIENCE} in a row")

    def _keep(self, task, answer):
        """Writes to the journal, but not of photos that the user's own network may have failed."""
        photo = self._photos[task.number]
        size = self._options.max_bytes if answer.reason == "too many bytes" else answer.size
        outcome = Outcome(
            photo.photo_id, url_of(photo), answer.reason or HAS_COME, answer.detail, size
        )
        if answer.reason == "no answer":
            self._unproven.append(outcome)
            if len(self._unproven) >= OUTAGE:
                self._check_network()
            return
        if answer.reason != "bad address":
            self._plan.answered.pop(task.host.name, None)
            self._plan.answered[task.host.name] = task.location  # last, as the latest
            self._write_unproven()
        self._journal.add(outcome)

    def _write_unproven(self):
        while self._unproven:
            self._journal.add(self._unproven.pop(0))

    def _check_network(self):
        if self._network_is_up():
            self._write_unproven()
            return
        servers = sorted({server_of(outcome.url) for outcome in self._unproven})
        self._unproven.clear()
        raise UserError(
            f"{OUTAGE} photos in a row got no answer (from {', '.join(servers[:PROBES])}"
            f"{', ...' if len(servers) > PROBES else ''}), and no server that answered before can "
            "be reached. Check the network (proxies of the environment are not used) and type the "
            "same command again: what has come is kept. If these servers are gone for good, leave "
            "out --download and name the folder with --photos."
        )

    def _network_is_up(self):
        """Whether a server that has answered before still takes connections."""
        latest = list(self._plan.answered.values())[-PROBES:]
        return any(self._downloader.can_reach(url) for url in latest)
