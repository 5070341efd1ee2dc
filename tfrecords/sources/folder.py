"""Lists the photos of a folder. No TensorFlow here."""

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS, Photo, Skipped, one_line
from tfrecords.sources.boxes import BOXES_FILE, add_boxes
from tfrecords.sources.walk import HIDDEN, files_below, is_hidden, is_own_output

SPLIT_NAMES = {  # what people call a split, in small letters
    "train": ("train", "training", "trainset", "train_set"),
    "validation": ("validation", "val", "valid", "validate", "dev", "valset", "val_set"),
    "test": ("test", "testing", "eval", "evaluation", "testset", "test_set"),
}
SPLIT_FOLDERS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
EXAMPLES = 5  # names shown in a message


@dataclass(frozen=True)
class Listing:
    """What a photo folder holds.

    Attributes:
        photos: Every file in the landmarks' folders, sorted by photo_id.
        skipped: What lies there and is no photo of a landmark, or can't be listed.
        empty_folders: Names of landmarks' folders without a file.
        notes: Lines for the summary.
    """

    photos: list[Photo]
    skipped: list[Skipped]
    empty_folders: list[str]
    notes: list[str] = field(default_factory=list)


def list_folder(folder: Path, follow_links: bool = False, min_landmarks: int = 2) -> Listing:
    """Lists the photos of a folder that holds one sub-folder per landmark, or is split already.

    Sub-folders of a landmark's folder belong to it. Hidden files and what operating systems leave
    behind are no photos; nor are records, runs and exports. A landmark is called after its folder,
    in Unicode's composed form (NFC), so that folders of a Mac and of Linux are one. If
    `folder/boxes.csv` exists (photo,ymin,xmin,ymax,xmax), it gives boxes. A folder that holds
    `train`, `validation` and `test`, by any of `SPLIT_NAMES`, with the landmarks' folders inside
    these, keeps its splits: see `Photo.split`.

    Args:
        folder: The folder.
        follow_links: Whether links that lead out of it are followed.
        min_landmarks: Int, with fewer it is refused.

    Raises:
        UserError: the folder is missing, empty, lacks a split, or has too few landmarks.
    """
    if not folder.is_dir():
        raise UserError(
            f"No folder {folder}. Expected a folder with one sub-folder of photos per landmark."
        )
    splits = _find_splits(folder)
    photos, skipped, notes = _sort_files(folder, splits, follow_links)
    _check_listing(folder, {photo.landmark_id for photo in photos}, skipped, min_landmarks)
    photos.sort(key=lambda photo: photo.photo_id)
    photos, about_boxes = add_boxes(photos, folder / BOXES_FILE)
    parents = [folder / name for name in splits] or [folder]
    return Listing(photos, skipped, _empty_folders(parents, photos), about_boxes + notes)


def _sort_files(folder, splits, follow_links):
    """Returns photos of landmarks, what lies there besides, and what to say of hidden files."""
    depth = 1 if splits else 0  # of the landmarks' folders
    photos, skipped, hidden = [], [], []

    def report(path, reason):
        if reason == HIDDEN:
            hidden.append(path.name)
        else:
            skipped.append(Skipped(_photo_id(path, folder), reason))

    others: Counter[str] = Counter()  # folders beside the splits -> their files
    for path in files_below(folder, follow_links, report):
        photo_id = _photo_id(path, folder)
        parts = photo_id.split("/")
        if splits and len(parts) > 1 and parts[0] not in splits:
            others[parts[0]] += 1
        elif len(parts) < depth + 2:
            skipped.append(Skipped(photo_id, "no landmark folder"))
        else:
            landmark_id = one_line(unicodedata.normalize("NFC", parts[depth]))
            split = splits.get(parts[0], "")
            photos.append(Photo(photo_id, landmark_id, str(path), split=split))
    skipped += [
        Skipped(f"{name}/", "beside the splits", f"{files:,} files")
        for name, files in others.items()
    ]
    return photos, skipped, _describe_hidden(hidden)


def _find_splits(folder):
    """Returns folder name -> split where `folder` is split already, else an empty dict."""
    inside = _folders(folder)
    splits = {path.name: SPLIT_FOLDERS.get(path.name.lower()) for path in inside}
    splits = {name: split for name, split in splits.items() if split}
    if not _looks_split(inside, splits):
        return {}
    has_all = sorted(splits.values()) == sorted(SPLITS)
    if has_all and all(_folders(folder / name) for name in splits):
        return splits
    seen = ", ".join(f"{path.name}/ ({_describe_folder(path)})" for path in inside[:EXAMPLES])
    more = f" and {len(inside) - EXAMPLES} more" if len(inside) > EXAMPLES else ""
    raise UserError(
        f"{folder} looks split already, with {', '.join(sorted(splits))}. Expected exactly train, "
        "validation (or val) and test, each with the landmarks' folders inside; or the landmarks' "
        f"folders alone, to have them split. Seen: {seen}{more}."
    )


def _looks_split(inside, splits):
    """Whether folders are splits, and not landmarks that happen to be called so."""
    deep = [path for path in inside if path.name in splits and _folders(path)]
    if not any(splits[path.name] == "train" for path in deep):
        return len(deep) == len(inside) > 1  # all of them validation and test
    if len(splits) > 1 or len(inside) == 1:
        return True
    return not any(path.is_file() for path in deep[0].iterdir())  # `train` beside other folders


def _describe_folder(path):
    folders = len(_folders(path))
    return f"{folders} folders inside" if folders else "no folder inside"


def _folders(folder):
    """The sub-folders that people have made, by name."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # the walk names it
        return []
    return [path for path in paths if not is_hidden(path.name, True) and not is_own_output(path)]


def _empty_folders(parents, photos):
    filled = {photo.landmark_id for photo in photos}
    paths = (path for parent in parents for path in _folders(parent) if not path.is_symlink())
    names = {one_line(unicodedata.normalize("NFC", _printable(path.name))) for path in paths}
    return sorted(names - filled)


def _describe_hidden(names):
    if not names:
        return []
    kinds = ", ".join(one_line(_printable(name)) for name in sorted(set(names))[:EXAMPLES])
    return [f"{len(names):,} hidden or system files and folders were passed over: {kinds}."]


def _check_listing(folder, landmarks, skipped, min_landmarks):
    if len(landmarks) >= min_landmarks:
        return
    layout = f"Expected one sub-folder per landmark: {folder}/LANDMARK/PHOTO.jpg"
    layout += ", at least two." if min_landmarks == 2 else "."
    strays = [row for row in skipped if row.reason == "no landmark folder"]
    others = [row for row in skipped if row.reason != "no landmark folder"]
    if others:
        rows = ", ".join(f"{row.photo_id} ({row.reason})" for row in others[:EXAMPLES])
        layout += f" Left out: {rows}{', ...' * (len(others) > EXAMPLES)}."
    if any(row.reason == "link" for row in others):
        layout += " To follow links that lead out of the folder: --follow-links."
    if landmarks:
        raise UserError(f"{folder} holds photos of one landmark only ({min(landmarks)}). {layout}")
    if strays:
        raise UserError(
            f"{folder} holds {len(strays)} files but no sub-folder with photos. {layout} "
            "Move the photos of each landmark into a folder of its name."
        )
    raise UserError(f"{folder} holds no photos. {layout}")


def _photo_id(path, folder):
    return _printable(path.relative_to(folder).as_posix())


def _printable(path):
    """A file name that is no UTF-8 still gets an id that can be written to CSV and records."""
    return path.encode("utf-8", "backslashreplace").decode()
