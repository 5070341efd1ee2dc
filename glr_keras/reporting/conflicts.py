"""Copies under two landmarks, which the build left out: one of their labels is wrong."""

from dataclasses import dataclass
from pathlib import Path

from glr_keras.reporting.thumbnails import SIDE, data_uri
from tfrecords.common.tables import SKIPPED, read_table
from tfrecords.images.decode import PhotoError, decode_photo
from tfrecords.images.photo_file import read_photo_file

MAX_CONFLICTS = 24  # pairs that are shown


@dataclass(frozen=True)
class Conflict:
    """Two photos of which one is a copy of the other, filed under different landmarks.

    Attributes:
        photos: Their ids in the records' source, such as paths below a photo folder.
        images: Their pictures as data URIs, None where they can't be had.
    """

    photos: tuple[str, str]
    images: tuple[str | None, str | None]


def read_conflicts(data_dir: Path, photos: Path | None = None) -> list[Conflict]:
    """Reads the first `MAX_CONFLICTS` pairs that `skipped.csv` names, each once.

    Args:
        data_dir: Folder of records.
        photos: Folder of photos that they were built from; None for no pictures.
    """
    path = data_dir / SKIPPED
    if not path.exists():
        return []
    rows = [row for row in read_table(path) if row["reason"] == "two landmarks"]
    known = {row["photo"] for row in rows}
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for row in rows:
        other = _other_photo(row["detail"], known)
        if other is not None:
            pairs.setdefault(frozenset((row["photo"], other)), (row["photo"], other))
    shown = list(pairs.values())[:MAX_CONFLICTS]
    return [
        Conflict(pair, (_picture(photos, pair[0]), _picture(photos, pair[1]))) for pair in shown
    ]


def _other_photo(detail, known):
    """Finds the photo in "also PHOTO of LANDMARK"; names may have " of " in them, too."""
    words = detail.removeprefix("also ").split(" of ")
    candidates = (" of ".join(words[:count]) for count in range(len(words) - 1, 0, -1))
    return next((one for one in candidates if one in known), None)


def _picture(folder, photo):
    if folder is None:
        return None
    path = folder / photo
    if not path.resolve().is_relative_to(folder.resolve()):
        return None
    try:
        image = decode_photo(read_photo_file(path), SIDE)
    except (OSError, PhotoError):
        return None
    image.thumbnail((SIDE, SIDE))
    return data_uri(image)
