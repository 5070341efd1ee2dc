"""Photos of an index become files: many at once, politely, and none is fetched twice."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.types import Photo, Skipped
from tfrecords.common.web import gather, run_event_loop
from tfrecords.download.addresses import BadAddressError, server_of
from tfrecords.download.answers import Answer
from tfrecords.download.client import PhotoClient, check_proxies
from tfrecords.download.hosts import Host, backoff
from tfrecords.download.journal import FETCHED, Outcome, OutcomeJournal
from tfrecords.download.missing import check_missing
from tfrecords.download.options import FetchOptions
from tfrecords.download.plan import FetchPlan, plan_fetch, url_of
from tfrecords.sources.photo_paths import photo_path

OUTAGE_PHOTOS = 20  # in a row without an answer from any server: the network may be down (a guess)
PROBES = 3  # servers that are tried to find out
STARTED_PER_SLOT = 2  # photos of a server, per request at once, that run or wait for another try
THROTTLED_TRIES = 20  # of one photo while the same server serves others
THROTTLED_SECONDS = 600  # for the last photos of a server: nobody knows then whose fault it is
OUTAGE = Answer("no answer", "no server could be reached")


def fetch_photos(
    photos: Sequence[Photo], folder: Path, options: FetchOptions
) -> dict[str, Skipped]:
    """Fetches photos into a folder, those that are not there yet.

    A photo lies at `photo_path(folder, photo_id)`, byte for byte as it was served.
    `folder/downloads.csv` keeps what came of each URL: one that is gone is not asked for again
    without `retry_failed`, another URL for the same photo is. Temporary failures are asked again by
    the next call. A file that no line of the journal names is the user's own and stays as it is.

    Args:
        photos: With the URL as `location`; each `photo_id` once.
        folder: Made if it is not there.
        options: How to fetch.

    Returns:
        photo_id -> `Skipped` of each photo that could not be had, in the order of `photos`.

    Raises:
        MissingPhotosError: more than `options.allow_missing` have failed temporarily.
        UserError: the folder can't be written to or another process fetches into it, its journal is
            damaged, or a proxy would be needed.
        OSError: the disk is full. The same call resumes, as it does after Ctrl-C or a kill.
    """
    with OutcomeJournal(folder) as journal:
        plan = plan_fetch(photos, folder, options, journal)
        if plan.waiting:
            firsts = [url_of(photos[numbers[0]]) for numbers in plan.waiting.values()]
            check_proxies(firsts, options)
            missing = run_event_loop(_Download(photos, folder, options, journal, plan).run())
            check_missing(missing, len(photos), folder, options)
            for (reason, detail), numbers in missing.items():
                for number in numbers:
                    plan.skipped[number] = Skipped(photos[number].photo_id, reason, detail)
    return {skipped.photo_id: skipped for _, skipped in sorted(plan.skipped.items())}


@dataclass(slots=True)
class _Attempt:
    """A photo that is being fetched.

    Attributes:
        number: Its place in the list of photos.
        location: URL to ask for next.
        host: Server of that URL.
        redirects: How many were followed.
        tries: How many requests have failed temporarily.
        pause: Seconds to wait before the next of them.
        throttled: How many were answered 429 or 503 although the server served others meanwhile.
        served: What the server had served by then.
        began: When it was begun, by `time.monotonic`.
    """

    number: int
    location: str
    host: Host
    redirects: int = 0
    tries: int = 0
    pause: float = 0.0
    throttled: int = 0
    served: int = 0
    began: float = field(default_factory=time.monotonic)


class _OutageError(Exception):
    """The user's own network seems to be down."""


class _Download:
    """Carries out a plan; adds to its `skipped` what can't be had."""

    def __init__(self, photos, folder, options, journal, plan: FetchPlan):
        self._photos = photos
        self._folder = folder
        self._options = options
        self._journal = journal
        self._plan = plan
        self._hosts = {name: Host(name, queue, options) for name, queue in plan.waiting.items()}
        self._workers = asyncio.Semaphore(options.workers)
        self._under_way: set[int] = set()  # numbers
        self._missing: dict[tuple[str, str], array] = {}  # (reason, detail) -> numbers
        self._unanswered = 0  # photos in a row
        self._bytes = self._failed = 0

    async def run(self) -> dict[tuple[str, str], array]:
        """Returns (reason, detail) -> numbers of the photos that may be had by another run."""
        outage = None
        total = sum(map(len, self._hosts.values()))
        with tqdm(total=total, desc="Fetching photos", unit=" photos") as self._bar:
            async with PhotoClient(self._options) as self._client:
                self._start = time.monotonic()
                try:
                    await self._serve_all()
                except _OutageError:
                    outage = OUTAGE
            for host in list(self._hosts.values()):
                self._close(host, outage)
            for number in self._under_way:
                self._miss(number, OUTAGE)
        return self._missing

    async def _serve_all(self):
        count = STARTED_PER_SLOT * self._options.per_host
        hosts = self._hosts.values()
        await gather(self._serve(host) for host in hosts for _ in range(min(count, len(host))))

    async def _serve(self, host):
        while (number := host.next_photo()) is not None:
            self._under_way.add(number)
            attempt = _Attempt(number, url_of(self._photos[number]), host, served=host.served)
            while (answer := self._final_answer(attempt, await self._ask(attempt))) is None:
                await asyncio.sleep(attempt.pause)
            self._record(attempt, host, answer)
            await self._check_network(answer)

    async def _ask(self, attempt):
        async with attempt.host.turn(self._workers):
            if attempt.host.problem:
                return attempt.host.problem
            started = time.monotonic()
            answer = await self._client.ask(attempt.location, self._path(attempt.number))
            attempt.host.answered(answer, started)
        if answer.throttled:
            self._show(0, f", waiting: {answer.detail} from {attempt.host.name}")
        return answer

    def _path(self, number):
        return photo_path(self._folder, self._photos[number].photo_id)

    def _final_answer(self, attempt, answer):
        """Returns the answer, or another, if nothing more is to be asked; else None."""
        attempt.pause = 0.0
        if answer.location:
            return self._follow(attempt, answer.location)
        if not answer.temporary or attempt.host.problem:
            return answer
        if answer.throttled:
            attempt.throttled += attempt.host.served > attempt.served
            attempt.served = attempt.host.served
            is_last = not len(attempt.host)
            has_waited = is_last and time.monotonic() - attempt.began > THROTTLED_SECONDS
            return answer if attempt.throttled > THROTTLED_TRIES or has_waited else None
        attempt.tries += 1
        attempt.pause = backoff(self._options, attempt.tries)
        return answer if attempt.tries > self._options.retries else None

    def _follow(self, attempt, location):
        limit = self._options.max_redirects
        if attempt.redirects == limit:
            return Answer("too many redirects", f"more than {limit}")
        try:
            name = server_of(location)
        except BadAddressError as error:
            return Answer("bad address", f"after a redirect: {error}")
        if name not in self._hosts:
            self._hosts[name] = Host(name, array("L"), self._options)
        attempt.redirects += 1
        attempt.location, attempt.host = location, self._hosts[name]
        attempt.served = attempt.host.served
        return None

    def _record(self, attempt, queue_host, answer):
        """Keeps what came of a photo; `queue_host` is the host in whose queue it was."""
        number = attempt.number
        self._under_way.discard(number)
        queue_host.finished(answer)
        if answer.reason == "refused" and answer is not attempt.host.problem:
            queue_host.refused.append((number, answer))
        elif answer.temporary or answer is attempt.host.problem:
            self._miss(number, answer)
        else:
            self._finish_refused(queue_host)
            if not answer.reason:
                # The latest last: they are asked first whether the network is up.
                self._plan.answered.pop(queue_host.name, None)
                self._plan.answered[queue_host.name] = attempt.location
            self._finish(number, answer)
        self._show(1)

    def _finish(self, number, answer):
        """Writes a final answer to the journal."""
        photo = self._photos[number]
        self._bytes += answer.size
        if answer.reason:
            self._failed += 1
            if number in self._plan.unusable:
                return  # the file and its line stay: the build judges it again
            self._plan.skipped[number] = Skipped(photo.photo_id, answer.reason, answer.detail)
            if number in self._plan.replaced:
                self._path(number).unlink(missing_ok=True)  # a photo of another URL
        size = self._options.max_bytes if answer.reason == "too many bytes" else answer.size
        outcome = answer.reason or FETCHED
        self._journal.add(Outcome(photo.photo_id, url_of(photo), outcome, answer.detail, size))

    def _finish_refused(self, host):
        """Some photos are refused, but not all: these refusals are final."""
        for number, answer in host.refused:
            self._finish(number, answer)
        host.refused.clear()

    def _miss(self, number, answer):
        self._failed += 1
        self._missing.setdefault((answer.reason, answer.detail), array("L")).append(number)

    def _close(self, host, outage):
        """Sorts out what is left of a host's queue."""
        if host.name in self._plan.answered and not (host.problem or outage):
            self._finish_refused(host)
        for number, answer in host.refused:
            self._miss(number, answer)
        rest = host.take_rest()
        for number in rest:
            self._miss(number, host.problem or OUTAGE)
        self._show(len(rest))

    def _show(self, photos, waiting_for=""):
        """Moves the progress bar on by as many photos."""
        speed = self._bytes / 1e6 / (time.monotonic() - self._start)
        text = f"{speed:.1f} MB/s, {self._failed} failed{waiting_for}"
        self._bar.set_postfix_str(text, refresh=bool(waiting_for))
        self._bar.update(photos)

    async def _check_network(self, answer):
        """Stops the download if nobody answers any more: each server's time-outs take long.

        Raises:
            _OutageError: no server that answered before can be reached.
        """
        if answer.reason == "no answer":
            self._unanswered += 1
        elif answer.reason != "bad address":
            self._unanswered = 0
        if self._unanswered >= OUTAGE_PHOTOS:
            self._unanswered = 0
            latest = list(self._plan.answered.values())[-PROBES:]
            if not any([await self._client.can_reach(location) for location in latest]):
                raise _OutageError
