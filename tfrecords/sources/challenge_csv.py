"""The challenge's CSV files: which photos there are, of which landmark, and what it is called."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from tfrecords.common.console import UserError
from tfrecords.common.cyclic_gc import cyclic_gc_paused
from tfrecords.common.types import Photo, Skipped, one_line
from tfrecords.sources.csv_table import LONGEST_FIELD, open_table, shown
from tfrecords.sources.file_csv import lists_files, rows_of_files
from tfrecords.sources.photo_paths import is_safe_name

LONGEST_IMAGES = 2**24  # characters, a million ids (csv's own limit would be 7,710)
SHORTEST_URL = len("http://a")


@dataclass(frozen=True)
class CsvIndex:
    """What an index lists.

    Attributes:
        photos: Each usable photo once, in the order of the file.
        skipped: Rows that can't be used in the order of the file, then ids listed repeatedly.
        names_files: Whether it lists paths of files, which are then the photos' locations.
    """

    photos: list[Photo]
    skipped: list[Skipped]
    names_files: bool = False


@cyclic_gc_paused()
def read_index(path: Path, with_urls: bool) -> CsvIndex:
    """Reads a list of photos: `id,landmark_id` or `id,url,landmark_id` or `landmark_id,images`.

    These are the forms of Google Landmarks, v1 and v2. A file with other columns may list paths of
    photos and names of landmarks: `filename,label` (see `tfrecords.sources.file_csv`). Columns may
    stand in any order, with others beside them. A row that can't be used is skipped with its line
    number. Of rows with the same id the first counts, unless they name two landmarks: then none
    does.

    Args:
        path: A CSV file, UTF-8.
        with_urls: Whether to keep column `url` as the photos' location.

    Raises:
        UserError: no such file, other columns, another encoding, a quote never closed, no photo.
    """
    skipped = []

    def skip(line, problem, photo_id="", reason="bad row"):
        name = shown(photo_id) or f"line {line}"
        skipped.append(Skipped(name, reason, f"line {line}: {problem}"))

    with open_table(path) as table:
        names_files = not with_urls and lists_files(table)
        photos = [Photo(*row[1:]) for row in _photo_rows(table, with_urls, skip)]
    if repeated := _find_repeated(photos):
        with open_table(path) as table:
            rows = _photo_rows(table, with_urls, lambda *_: None)
            photos, dropped = _drop_repeats(photos, repeated, rows)
        skipped += dropped
    if not photos:
        raise UserError(_describe_useless(path, skipped))
    return CsvIndex(photos, skipped, names_files)


def read_names(path: Path) -> dict[str, str]:
    """Reads landmark_id -> name from `landmark_id,category` (train_label_to_category.csv).

    A category is the address of a Wikimedia page, or the name itself.

    Raises:
        UserError: as for `read_index`, and for any row that can't be used.
    """
    names: dict[str, str] = {}
    lines: dict[str, int] = {}

    def refuse(line, problem):
        raise UserError(f"{path}, line {line}: {problem}. Correct or delete that line.")

    with open_table(path) as table:
        id_column, category_column = table.find_columns("landmark_id", "category")
        for line, row in table.rows(LONGEST_FIELD, refuse):
            landmark_id, name = _integer(row[id_column]), _page_name(row[category_column])
            if landmark_id is None:
                refuse(line, _describe_id(row[id_column]))
            first = names.setdefault(landmark_id, name)
            if first != name:
                other = f"{shown(first)!r} in line {lines[landmark_id]}"
                refuse(line, f"landmark {landmark_id} is called {shown(name)!r}, but {other}")
            lines.setdefault(landmark_id, line)
    return {landmark_id: name for landmark_id, name in names.items() if name}


def distinct_names(landmark_ids: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """Returns a name for each landmark, no two the same, one line each.

    A landmark without a name is called by its id. Landmarks that share a name get their id behind
    it: "Trinity Church (1234)".

    Args:
        landmark_ids: Strings, each once.
        names: Dict from landmark_id to name, of these or more landmarks.
    """
    ids = list(landmark_ids)
    if len(set(ids)) < len(ids):
        raise ValueError("Expected each landmark_id once.")
    labels = [one_line(names.get(one, "").strip()) or one for one in ids]
    while len(set(labels)) < len(labels):  # again where "Church (5)" is another's whole name
        counts = Counter(labels)
        labels = [
            f"{label} ({one})" if counts[label] > 1 and label != one else label
            for label, one in zip(labels, ids, strict=True)
        ]
    return labels


def _photo_rows(table, with_urls, skip):
    """Yields (line, photo_id, landmark_id, location) of each photo listed that has a safe id."""
    if not with_urls and lists_files(table):
        yield from rows_of_files(table, skip)
        return
    rows = _rows_of_photos(table, with_urls, skip)
    if "images" in table.header and "id" not in table.header and not with_urls:
        rows = _rows_of_landmarks(table, skip)
    for row in rows:
        if is_safe_name(row[1]):
            yield row
        else:
            skip(row[0], "expected a plain file name as id", row[1], "unsafe name")


def _rows_of_landmarks(table, skip):
    landmark_column, images_column = table.find_columns("landmark_id", "images")
    for line, row in table.rows(LONGEST_IMAGES, skip):
        landmark_id, photo_ids = _integer(row[landmark_column]), row[images_column].split()
        if landmark_id is None:
            skip(line, _describe_id(row[landmark_column]))
        elif not photo_ids:
            skip(line, f"no images of landmark {landmark_id}")
        else:
            for photo_id in photo_ids:
                yield line, photo_id, landmark_id, ""


def _rows_of_photos(table, with_urls, skip):
    wanted = ("id", "url", "landmark_id") if with_urls else ("id", "landmark_id")
    id_column, *url_column, landmark_column = table.find_columns(*wanted)
    integer = cache(_integer)  # one string per landmark, not one per row
    for line, row in table.rows(LONGEST_FIELD, skip):
        photo_id, landmark_id = row[id_column], integer(row[landmark_column])
        if landmark_id is None:
            skip(line, _describe_id(row[landmark_column]), photo_id)
        elif not with_urls:
            yield line, photo_id, landmark_id, ""
        elif len(url := row[url_column[0]]) < SHORTEST_URL or "\0" in url:
            skip(line, f'expected a URL, got "{shown(url)}"', photo_id, "bad address")
        else:
            yield line, photo_id, landmark_id, url


def _find_repeated(photos):
    """Returns the ids of more than one photo.

    Sorted hashes have equal ones side by side, in a quarter of the memory of a set of ids.
    """
    ids = map(attrgetter("photo_id"), photos)
    hashes = np.fromiter(map(hash, ids), np.int64, len(photos))
    hashes.sort()
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    counts = Counter(photo.photo_id for photo in photos if hash(photo.photo_id) in twice)
    return {photo_id for photo_id, count in counts.items() if count > 1}


def _drop_repeats(photos, repeated, rows):
    """Keeps the first photo of each id; none of an id that is listed under two landmarks.

    Args:
        photos: All, in the order of the file.
        repeated: Ids of more than one of them.
        rows: Those of the file once more, since to keep each photo's line would take memory for
            what is rare.

    Returns:
        The photos that are kept, and a `Skipped` for each row that is not.
    """
    listed = {photo_id: [] for photo_id in sorted(repeated)}  # photo_id -> [(line, landmark_id)]
    for line, photo_id, landmark_id, _ in rows:
        if photo_id in listed:
            listed[photo_id].append((line, landmark_id))
    skipped = [row for photo_id, lines in listed.items() for row in _describe(photo_id, lines)]
    contradictory = {row.photo_id for row in skipped if row.reason == "two landmarks"}
    kept, seen = [], set()
    for photo in photos:
        if photo.photo_id not in repeated:
            kept.append(photo)
        elif photo.photo_id not in contradictory | seen:
            kept.append(photo)
            seen.add(photo.photo_id)
    return kept, skipped


def _describe(photo_id, lines):
    """Returns a `Skipped` for each row of a repeated id that is not kept."""
    (first_line, first), *others = lines
    other = next(((line, landmark) for line, landmark in others if landmark != first), None)
    if other is None:
        details = (f"line {line}: first in line {first_line}" for line, _ in others)
        return [Skipped(photo_id, "repeated id", detail) for detail in details]
    rows = []
    for line, landmark in lines:
        against = other if landmark == first else (first_line, first)
        detail = f"line {line}: landmark {landmark}, line {against[0]}: landmark {against[1]}"
        rows.append(Skipped(photo_id, "two landmarks", detail))
    return rows


def _integer(text):
    """Returns the number as a string that all its photos share, or None."""
    text = text.strip()
    return sys.intern(str(int(text))) if re.fullmatch("[0-9]{1,18}", text) else None


def _page_name(category):
    page = re.fullmatch(r"https?://[^/]+/wiki/(?:Category:)?(.+)", category.strip())
    return unquote(page[1]).replace("_", " ").strip() if page else category.strip()


def _describe_id(text):
    return f'expected a whole number as landmark_id, got "{shown(text)}"'


def _describe_useless(path, skipped):
    if not skipped:
        return f"{path} names its columns and lists no photo. Expected a row for each photo."
    reasons = Counter(row.reason for row in skipped).most_common()
    counts = ", ".join(f"{count} x {reason}" for reason, count in reasons)
    return (
        f"{path}: expected rows of photos, got none that can be used ({counts}). "
        f"The first is {skipped[0].reason}: {skipped[0].detail}."
    )
