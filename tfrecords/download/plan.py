"""What a download has to ask for: neither what is there nor what is known to be gone."""

import os
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.types import Photo, Skipped
from tfrecords.download.addresses import PRIVATE, BadAddressError, server_of
from tfrecords.download.journal import HAS_COME, OutcomeJournal
from tfrecords.download.options import FetchOptions
from tfrecords.sources.photo_paths import is_safe_name, relative_path

KNOWN_SERVERS = 3  # remembered of photos that are there


@dataclass
class FetchPlan:
    """What is to be asked for. Photos go by their number, their place in the list.

    Attributes:
        waiting: Server -> numbers of photos to ask it for, 8 bytes each: there may be millions.
        skipped: Number -> `Skipped` of photos that are not asked for.
        replaced: Numbers of photos whose file came from another URL than is listed now.
        answered: Server -> URL of a few servers that have given photos before.
    """

    waiting: dict[str, array] = field(default_factory=dict)
    skipped: dict[int, Skipped] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)
    answered: dict[str, str] = field(default_factory=dict)


def plan_fetch(
    photos: Sequence[Photo], folder: Path, options: FetchOptions, journal: OutcomeJournal
) -> FetchPlan:
    """Looks at the journal and at every photo's place.

    Raises:
        UserError: the journal is damaged.
    """
    plan = FetchPlan()
    failed = _read_failures(plan, photos, options, journal)
    for number, photo in enumerate(photos):
        location = url_of(photo)
        if not is_safe_name(photo.photo_id):
            plan.skipped[number] = Skipped(photo.photo_id, "unsafe name")
        elif number not in plan.replaced and _is_there(folder, photo):
            _remember_server(plan, location)
        elif number in failed:
            plan.skipped[number] = failed.pop(number)
        else:
            try:
                plan.waiting.setdefault(server_of(location), array("L")).append(number)
            except BadAddressError as error:
                plan.skipped[number] = Skipped(photo.photo_id, "bad address", str(error))
    return plan


def url_of(photo: Photo) -> str:
    """The URL of a photo as it is asked for and kept in the journal."""
    return photo.location.strip()


def _read_failures(plan, photos, options, journal):
    """Returns number -> `Skipped` of what has failed before and need not be asked again."""
    failed = {}
    numbers = {photo.photo_id: number for number, photo in enumerate(photos)}
    for outcome in journal.read():
        number = numbers.get(outcome.photo_id)
        if number is None:
            continue
        failed.pop(number, None)
        plan.replaced.discard(number)
        if outcome.url != url_of(photos[number]):
            if outcome.outcome == HAS_COME:
                plan.replaced.add(number)
        elif _still_fails(outcome, options):
            # Reasons and details are few: a million rows share them.
            reason, detail = sys.intern(outcome.outcome), sys.intern(outcome.detail)
            failed[number] = Skipped(photos[number].photo_id, reason, detail)
    return failed


def _still_fails(outcome, options):
    """Whether asking once more, with today's options, could bring nothing new."""
    if outcome.outcome == HAS_COME or options.retry_failed:
        return False
    if outcome.outcome == "too many bytes":
        return outcome.bytes >= options.max_bytes
    return not (outcome.detail == PRIVATE and options.allow_private)


def _is_there(folder, photo):
    try:
        return os.stat(os.path.join(folder, relative_path(photo.photo_id))).st_size > 0
    except FileNotFoundError:
        return False


def _remember_server(plan, location):
    if len(plan.answered) < KNOWN_SERVERS:
        with suppress(BadAddressError):  # a photo that the user put there needs no URL
            plan.answered[server_of(location)] = location
