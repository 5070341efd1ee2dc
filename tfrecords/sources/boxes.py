"""boxes.csv: where in a photo its landmark stands. No TensorFlow here."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, is_box

BOXES_FILE = "boxes.csv"
EXAMPLES = 3  # rows shown in a message

Box = tuple[float, float, float, float]  # ymin, xmin, ymax, xmax in [0, 1]


def add_boxes(photos: Sequence[Photo], path: Path) -> tuple[list[Photo], list[str]]:
    """Gives photos the boxes of a file; of the upright photo, since that is what people see.

    A row names a photo by its path below the folder (or its id, in an index, with or without
    `.jpg`). Backslashes, a leading `./` and either Unicode form are understood.

    Args:
        photos: Photos listed.
        path: boxes.csv; where it does not exist, no photo has a box.

    Returns:
        The photos in their order, and what to warn of.

    Raises:
        UserError: the file can't be understood, or none of its rows names a photo.
    """
    boxes = read_boxes(path)
    if not boxes:
        return list(photos), []
    by_key = {_key(name): box for name, box in boxes.items()}
    used = set()

    def with_box(photo):
        for key in (_key(photo.photo_id), _key(photo.photo_id) + ".jpg"):
            if key in by_key:
                used.add(key)
                return replace(photo, box=by_key[key])
        return photo

    photos = [with_box(photo) for photo in photos]
    notes = [f"{len(used):,} photos have a box ({path.name})."]
    unmatched = [name for name in boxes if _key(name) not in used]
    if not unmatched:
        return photos, notes
    names = ", ".join(unmatched[:EXAMPLES]) + ", ..." * (len(unmatched) > EXAMPLES)
    text = f"{len(unmatched):,} of the {len(boxes):,} rows of {path} name no photo: {names}."
    if not used:
        raise UserError(
            f"{text} Expected paths below {path.parent}, such as {photos[0].photo_id}. Correct "
            "the column photo, or move the file away to build without boxes."
        )
    return photos, [*notes, f"warning: {text}"]


def read_boxes(path: Path) -> dict[str, Box]:
    """Reads photo -> box; empty where the file does not exist."""
    if not path.exists():
        return {}
    boxes = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8, got other bytes ({error}).") from error
    except OSError as error:
        raise UserError(f"Can't read {path} ({error.strerror}). Check its permissions.") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for row in rows:
        try:
            ymin, xmin, ymax, xmax = (float(row[s]) for s in ("ymin", "xmin", "ymax", "xmax"))
            box = (ymin, xmin, ymax, xmax)
            if not is_box(*box):
                raise ValueError(f"{box} is no box in [0, 1]")
            boxes[row["photo"]] = box
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {rows.line_num}: expected photo,ymin,xmin,ymax,xmax with numbers in "
                f"[0, 1], got {row} ({error})."
            ) from error
    return boxes


def _key(name):
    name = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name
