"""What a download has to ask for: neither what is there nor what is known to be gone."""

import os
import sys
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.types import Photo, Skipped
from tfrecords.download.addresses import ALLOW_PRIVATE, PRIVATE, BadAddressError, server_of
from tfrecords.download.answers import TEMPORARY
from tfrecords.download.journal import FETCHED, OutcomeJournal
from tfrecords.download.options import FetchOptions
from tfrecords.sources.photo_paths import (
    PHOTO_SUFFIXES,
    is_safe_name,
    locate,
    photo_path,
    relative_path,
)

NOT_PHOTOS = ("not a photo", "damaged")  # of a file: the server may send a better one some day


@dataclass
class FetchPlan:
    """What is to be asked for. Photos go by their number, their place in the list.

    Attributes:
        waiting: Server -> numbers of photos to ask it for, 8 bytes each: there may be millions.
        skipped: Number -> `Skipped` of photos that are not asked for.
        replaced: Numbers of photos whose file came from another URL than is listed now.
        unusable: Number -> bytes of a photo's file that the build could not use and that is to be
            replaced; it stays if no better comes.
        answered: Server -> URL of a photo that it has given before.
    """

    waiting: dict[str, array] = field(default_factory=dict)
    skipped: dict[int, Skipped] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)
    unusable: dict[int, int] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)


def plan_fetch(
    photos: Sequence[Photo], folder: Path, options: FetchOptions, journal: OutcomeJournal
) -> FetchPlan:
    """Compares the list with the journal and with the files that are there.

    Raises:
        UserError: the journal is damaged.
    """
    plan = FetchPlan()
    failed = _read_journal(photos, options, journal, plan)
    suffixes = _suffixes_below(folder)
    for number, photo in enumerate(photos):
        location = url_of(photo)
        if not is_safe_name(photo.photo_id):
            plan.skipped[number] = Skipped(photo.photo_id, "unsafe name")
        elif _is_there(locate(folder, photo.photo_id, suffixes), folder, photo, number, plan):
            with suppress(BadAddressError):  # a photo that the user put there needs no URL
                plan.answered.setdefault(server_of(location), location)
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


def mark_unusable(photos: Sequence[Photo], folder: Path, reasons: Mapping[str, str]) -> None:
    """Writes to the journal which fetched files are no photos: `retry_failed` has them anew.

    Args:
        photos: Those that were to be fetched.
        folder: Where they lie.
        reasons: photo_id -> why the build can't use the file.
    """
    urls = {p.photo_id: url_of(p) for p in photos if reasons.get(p.photo_id) in NOT_PHOTOS}
    if not urls:
        return
    with OutcomeJournal(folder) as journal:
        latest = {o.photo_id: o for o in journal.read() if o.url == urls.get(o.photo_id)}
        for photo_id, outcome in latest.items():
            path = photo_path(folder, photo_id)
            size = path.stat().st_size if path.exists() else 0
            if outcome.outcome == FETCHED and outcome.bytes == size:  # else the user's own
                journal.add(outcome._replace(outcome=reasons[photo_id]))


def _read_journal(photos, options, journal, plan):
    """Returns number -> `Skipped` of what need not be asked again; the rest is put into `plan`."""
    failed = {}
    numbers = {photo.photo_id: number for number, photo in enumerate(photos)}
    for outcome in journal.read():
        number = numbers.get(outcome.photo_id)
        if number is None:
            continue
        failed.pop(number, None)
        plan.unusable.pop(number, None)
        plan.replaced.discard(number)
        if outcome.url != url_of(photos[number]):
            if outcome.has_file:
                plan.replaced.add(number)
        elif outcome.has_file:
            if outcome.outcome != FETCHED and options.retry_failed:
                plan.unusable[number] = outcome.bytes
        elif _still_fails(outcome, options):
            # Reasons and details are few: a million rows share them.
            reason, detail = sys.intern(outcome.outcome), sys.intern(outcome.detail)
            failed[number] = Skipped(photos[number].photo_id, reason, detail)
    return failed


def _still_fails(outcome, options):
    """Whether asking once more, with today's options, could bring nothing new."""
    if options.retry_failed or outcome.outcome in TEMPORARY:
        return False
    if outcome.outcome == "too many bytes":
        return outcome.bytes >= options.max_bytes
    was_private = PRIVATE in outcome.detail or ALLOW_PRIVATE in outcome.detail
    return not (was_private and options.allow_private)


def _suffixes_below(folder):
    """Returns the endings of the files that are there: looking for others costs time per photo."""
    found = {name.rpartition(".")[2] for _, _, names in os.walk(folder) for name in names}
    return [suffix for suffix in PHOTO_SUFFIXES if suffix in found]


def _is_there(path, folder, photo, number, plan):
    """Whether the file that the build finds for a photo is there, and is not to be had anew."""
    if path is None:
        return False
    if path != os.path.join(folder, relative_path(photo.photo_id)):
        return True  # the user's own
    if number in plan.replaced:
        return False
    return number not in plan.unusable or plan.unusable[number] != os.path.getsize(path)
