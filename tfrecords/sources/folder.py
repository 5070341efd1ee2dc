"""Lists the photos of a folder. No TensorFlow here."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import NO_BOX, SPLITS, Photo, one_line

NOT_PHOTOS = {"thumbs.db", "desktop.ini", "boxes.csv"}  # what systems and this project put beside
BOXES_FILE = "boxes.csv"
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Listing:
    """What a photo folder holds.

    Attributes:
        photos: Every file in the landmarks' folders, sorted by photo_id.
        strays: Names of files that lie beside those folders.
        empty_folders: Names of landmarks' folders without a file.
    """

    photos: list[Photo]
    strays: list[str]
    empty_folders: list[str]


def list_folder(folder: Path) -> Listing:
    """Lists the photos of a folder that holds one sub-folder per landmark, or is split already.

    Sub-folders of a landmark's folder belong to it. Hidden files and what operating systems leave
    behind are no photos. If `folder/boxes.csv` exists (photo,ymin,xmin,ymax,xmax), it gives boxes.
    A folder that holds nothing but `train`, `validation` (or `val`) and `test`, with the landmarks'
    folders inside these, keeps its splits: see `Photo.split`.

    Raises:
        UserError: the folder is missing, empty, lacks a split, or has no two landmarks.
    """
    if not folder.is_dir():
        raise UserError(
            f"No folder {folder}. Expected a folder with one sub-folder of photos per landmark."
        )
    boxes = read_boxes(folder / BOXES_FILE)
    split_folders = _split_folders(folder)
    depth = 1 if split_folders else 0  # of the landmarks' folders
    photos, strays = [], []
    for path in sorted(files_below(folder)):
        photo_id = _printable(path.relative_to(folder).as_posix())
        parts = photo_id.split("/")
        if len(parts) < depth + 2:
            strays.append(photo_id)
            continue
        split = split_folders.get(parts[0], "")
        box = boxes.get(photo_id, NO_BOX)
        photos.append(Photo(photo_id, one_line(parts[depth]), str(path), box, split))
    _check_listing(folder, {photo.landmark_id for photo in photos}, strays)
    parents = [folder / name for name in split_folders] or [folder]
    return Listing(
        sorted(photos, key=lambda photo: photo.photo_id), strays, _empty_folders(parents, photos)
    )


def read_boxes(path: Path) -> dict[str, tuple[float, float, float, float]]:
    """Reads photo_id -> (ymin, xmin, ymax, xmax); empty where the file does not exist."""
    if not path.exists():
        return {}
    boxes = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8, got other bytes ({error}).") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for row in rows:
        try:
            box = tuple(float(row[side]) for side in ("ymin", "xmin", "ymax", "xmax"))
            ymin, xmin, ymax, xmax = box
            if not (0 <= ymin <= ymax <= 1 and 0 <= xmin <= xmax <= 1):
                raise ValueError(f"{box} is no box in [0, 1]")
            boxes[row["photo"]] = box
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {rows.line_num}: expected photo,ymin,xmin,ymax,xmax with numbers in "
                f"[0, 1], got {row} ({error})."
            ) from error
    return boxes


def files_below(folder: Path):
    """Yields the path of every file below `folder` that may be a photo, by name; folders once."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back up would go round for ever
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower() not in NOT_PHOTOS:
                yield Path(parent, name)


def _split_folders(folder):
    """Returns folder name -> split where `folder` is split already, else an empty dict."""
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    names = {path.name: SPLIT_FOLDERS.get(path.name, "") for path in inside}
    if "train" not in names or not all(names.values()) or len(names) < 2:
        return {}
    if not all(any(path.is_dir() for path in parent.iterdir()) for parent in inside):
        return {}  # photos right inside: then these are landmarks of that name
    if sorted(names.values()) != sorted(SPLITS):
        raise UserError(
            f"{folder} looks split already, with {', '.join(sorted(names))}. Expected exactly "
            "train, validation (or val) and test, each with the landmarks' folders inside; or the "
            "landmarks' folders alone, to have them split."
        )
    return names


def _empty_folders(parents, photos):
    filled = {photo.landmark_id for photo in photos}
    folders = (path for parent in parents for path in parent.iterdir() if path.is_dir())
    names = {one_line(_printable(path.name)) for path in folders if path.name[0] != "."}
    return sorted(names - filled)


def _check_listing(folder, landmarks, strays):
    if len(landmarks) >= 2:
        return
    layout = f"Expected one sub-folder per landmark: {folder}/LANDMARK/PHOTO.jpg, at least two."
    if landmarks:
        raise UserError(f"{folder} holds photos of one landmark only ({min(landmarks)}). {layout}")
    if strays:
        raise UserError(
            f"{folder} holds {len(strays)} files but no sub-folder with photos. {layout} "
            "Move the photos of each landmark into a folder of its name."
        )
    raise UserError(f"{folder} holds no photos. {layout}")


def _printable(path):
    """A file name that is no UTF-8 still gets an id that can be written to CSV and records."""
    return path.encode("utf-8", "backslashreplace").decode()
