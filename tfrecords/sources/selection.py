"""Which landmarks of a list are taken, and how many photos of each. No TensorFlow here."""

import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import compress
from operator import attrgetter
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.cyclic_gc import cyclic_gc_paused
from tfrecords.common.types import Photo, Skipped, landmark_order
from tfrecords.sources.csv_table import LONGEST_FIELD, open_table, shown
from tfrecords.splitting.stratified import seeded_hash

REPORT27 = "report27"  # names the file that ships with this package
MOST_NAMED = 5  # of the wrong ids of a file


@dataclass(frozen=True)
class Choice:
    """Photos of the chosen landmarks.

    Attributes:
        photos: Photos to take, sorted by photo_id.
        over_limit: Photos beyond `max_photos` of their landmark, sorted by photo_id.
        listed: Counter of photos per landmark_id, of all that were listed.
    """

    photos: list[Photo]
    over_limit: list[Photo]
    listed: Counter


@cyclic_gc_paused()
def choose_landmarks(
    photos: Sequence[Photo],
    *,
    top: int | None = None,
    skip_top: int = 0,
    landmarks: Sequence[str] | None = None,
    min_photos: int = 1,
    max_photos: int | None = None,
    seed: int = 0,
    skipped: Sequence[Skipped] = (),
) -> Choice:
    """Takes landmarks by rank, by name, or all, and at most `max_photos` of each.

    Landmarks rank by the photos listed, most first; of equals the lower `landmark_id` comes first.
    The report this project started from took `skip_top=3, top=27` of the 2018 training index.

    Args:
        photos: All photos listed.
        top: Int, landmarks to take; None for all.
        skip_top: Int, landmarks of most photos to leave out before `top` are counted.
        landmarks: Landmark ids to take, instead of `top` and `skip_top`.
        min_photos: Int; a landmark with fewer photos listed is left out.
        max_photos: Int; of a landmark with more, these are drawn. A higher limit keeps those of a
            lower one.
        seed: Int, of that draw.
        skipped: What the list itself rules out, for messages.

    Raises:
        UserError: numbers that make no sense, landmarks that are not listed, fewer than two left.
    """
    _check_numbers(top, skip_top, landmarks, min_photos, max_photos)
    listed = Counter(map(attrgetter("landmark_id"), photos))
    if landmarks is None:
        ranked = sorted(listed, key=lambda one: (-listed[one], landmark_order(one)))
        asked = ranked[skip_top : None if top is None else skip_top + top]
    else:
        _check_listed(landmarks, listed)
        asked = list(landmarks)
    taken = {landmark_id for landmark_id in asked if listed[landmark_id] >= min_photos}
    if len(taken) < 2:
        text = _describe_few(taken, listed, top, skip_top, landmarks, min_photos)
        raise UserError(text + _describe_skipped(skipped))
    if len(taken) < len(listed):
        photos = [photo for photo in photos if photo.landmark_id in taken]
    photos = sorted(photos, key=attrgetter("photo_id"))
    kept, over_limit = _limit(photos, listed, max_photos, seed)
    return Choice(kept, over_limit, listed)


def read_landmarks_file(path: str | Path, listed: Container[str] = ()) -> list[str]:
    """Reads landmark ids: one per line, or column `landmark_id` of a CSV file.

    A landmark is a whole line without the space around it: where it is called after a folder, its
    name may hold spaces and commas. A first line `landmark_id`, blank lines, and lines that start
    with `#` and are no landmark's name, are none; a second mention counts once. A first line that
    names several columns makes the file a CSV, such as `landmarks.csv` of another build.

    Args:
        path: A text file, UTF-8; or "report27", if no file is called so, for the 27 landmarks of
            the report that this project started from.
        listed: Names of landmarks, which may start with `#`.

    Raises:
        UserError: no such file, another encoding, no landmark in it.
    """
    source: Traversable = Path(path)
    if str(path) == REPORT27 and not Path(path).exists():
        source = files("tfrecords.sources") / "report27.txt"
    lines = _read_lines(source, listed)
    columns = [name.strip() for name in lines[0].split(",")] if lines else []
    if len(columns) > 1 and "landmark_id" in columns:
        lines = _read_column(source)
    elif columns == ["landmark_id"]:
        lines = lines[1:]
    if not lines:
        raise UserError(f"{path} names no landmark. Expected one landmark_id per line.")
    return list(dict.fromkeys(lines))


def _check_numbers(top, skip_top, landmarks, min_photos, max_photos):
    if landmarks is not None and (top is not None or skip_top):
        raise UserError("Expected --landmarks or --top and --skip-top, got both. Drop one of them.")
    for flag, number, lowest in (
        ("--top", top, 1),
        ("--skip-top", skip_top, 0),
        ("--min-photos", min_photos, 1),
        ("--max-photos", max_photos, 1),
    ):
        if number is not None and number < lowest:
            raise UserError(f"{flag} must be at least {lowest}, got {number}.")


def _check_listed(landmarks, listed):
    unknown = [landmark_id for landmark_id in landmarks if landmark_id not in listed]
    if unknown:
        names = ", ".join(map(shown, unknown[:MOST_NAMED]))
        more = ", ..." * (len(unknown) > MOST_NAMED)
        raise UserError(
            f"{len(unknown)} of the {len(landmarks)} landmarks of --landmarks have no photo here: "
            f"{names}{more}. Expected ids that the photos have: delete these lines, or name the "
            "index they are from."
        )


def _describe_few(taken, listed, top, skip_top, landmarks, min_photos):
    flags = f"--top {top} " * (top is not None) + f"--skip-top {skip_top} " * (skip_top > 0)
    flags += "--landmarks " * (landmarks is not None)
    flags = (flags + f"--min-photos {min_photos}" * (min_photos > 1)).strip()
    text = f"Expected at least two landmarks, got {len(taken)} of the {len(listed)} listed"
    if len(listed) < 2 or not flags:
        return f"{text}. Add photos of others."
    return f"{text} with {flags}. Choose more (the largest has {max(listed.values())} photos)."


def _describe_skipped(skipped):
    """What of a list was left out, and the first of it: the fault may lie there."""
    if not skipped:
        return ""
    counts = Counter(row.reason for row in skipped).most_common()
    reasons = ", ".join(f"{count:,} x {reason}" for reason, count in counts)
    first = skipped[0]
    return f" Left out were {reasons}; the first is {shown(first.photo_id)}: {first.detail}."


def _limit(photos, listed, max_photos, seed):
    """Returns (kept, over the limit)."""
    if max_photos is None:
        return photos, []
    by_landmark = defaultdict(partial(array, "I"))  # places in `photos`, 4 bytes each
    for place, photo in enumerate(photos):
        if listed[photo.landmark_id] > max_photos:
            by_landmark[photo.landmark_id].append(place)
    # Not the draw of the split: there the photos that a higher limit adds would come last.
    salt = f"limit/{seed}"
    keep = bytearray(b"\1") * len(photos)
    for places in by_landmark.values():
        drawn = sorted(places, key=lambda place: seeded_hash(photos[place].photo_id, salt))
        for place in drawn[max_photos:]:
            keep[place] = 0
    return list(compress(photos, keep)), [photos[i] for i, kept in enumerate(keep) if not kept]


def _read_lines(path, listed):
    """Reads what is neither blank nor a comment, in Unicode's composed form as folders' names."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"Can't read {path} ({error.strerror}). Expected a file with a landmark_id per line, "
            f"or {REPORT27}."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8, got other bytes ({error}).") from error
    lines = (unicodedata.normalize("NFC", line.strip()) for line in text.split("\n"))
    return [line for line in lines if line and (not line.startswith("#") or line in listed)]


def _read_column(path):
    def refuse(line, problem):
        raise UserError(f"{path}, line {line}: {problem}. Correct or delete that line.")

    with open_table(path) as table:
        (column,) = table.find_columns("landmark_id")
        return [row[column].strip() for _, row in table.rows(LONGEST_FIELD, refuse)]
