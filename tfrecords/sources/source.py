"""Where photos come from: a folder, an index with a folder, an index with archives."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.photo_file import read_photo_file
from tfrecords.images.prepared import Reader
from tfrecords.sources.archives import fetch_archives, parse_archives
from tfrecords.sources.boxes import BOXES_FILE, add_boxes
from tfrecords.sources.challenge_csv import read_index
from tfrecords.sources.folder import list_folder
from tfrecords.sources.photo_paths import locate, photo_path
from tfrecords.sources.tars import open_tars


@dataclass(frozen=True)
class Source:
    """Photos to choose from, and how to read them.

    Attributes:
        kind: "folder", "index" or "archives".
        photos: All that are listed.
        skipped: What the list itself rules out.
        reader: Reads a photo's bytes.
        names: landmark_id -> name, as far as names are known.
        empty_landmarks: Landmarks' folders without a file.
        elsewhere: Int, rows of the index whose photos lie in archives that were not given.
        notes: Lines for the summary: what else was found and passed over.
    """

    kind: str
    photos: list[Photo]
    skipped: list[Skipped]
    reader: Reader
    names: dict[str, str] = field(default_factory=dict)
    empty_landmarks: list[str] = field(default_factory=list)
    elsewhere: int = 0
    notes: list[str] = field(default_factory=list)


class FileReader:
    """Reads photos whose location is a path."""

    def read(self, photo: Photo) -> bytes:
        return read_photo_file(self._path(photo))

    def stamp(self, photo: Photo) -> str:
        stat = os.stat(self._path(photo))
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def _path(self, photo):
        return Path(photo.location)


@dataclass(frozen=True)
class IdReader(FileReader):
    """Reads the file that `locate` finds for a photo's id, or that an index names."""

    folder: Path

    def _path(self, photo):
        is_path = photo.location and "://" not in photo.location
        if is_path and os.path.exists(self.folder / photo.location):
            return self.folder / photo.location
        return locate(self.folder, photo.photo_id) or photo_path(self.folder, photo.photo_id)


def folder_source(
    folder: Path,
    names: dict[str, str],
    split: tuple[int, int, int] | None,
    follow_links: bool = False,
    min_landmarks: int = 2,
) -> Source:
    """Lists the photos of a folder that holds one sub-folder per landmark.

    Args:
        folder: Path.
        names: landmark_id -> name.
        split: Percent for train, validation and test, where they were asked for.
        follow_links: Whether links that lead out of the folder are followed.
        min_landmarks: Int, with fewer it is refused.

    Raises:
        UserError: no such folder, no photos in it, or it is split already and `split` is given.
    """
    listing = list_folder(folder, follow_links, min_landmarks)
    if split and listing.photos[0].split:
        raise UserError(
            f"{folder} is split already, and its splits are kept: leave out --split; or move the "
            "landmarks' folders out of train, validation and test, to have them split anew."
        )
    reader, empty = FileReader(), listing.empty_folders
    return Source(
        "folder", listing.photos, listing.skipped, reader, names, empty, notes=listing.notes
    )


def index_source(csv: Path, folder: Path, names: dict[str, str], with_urls: bool) -> Source:
    """Lists the photos of an index that lie in `folder`, or will once they are downloaded.

    Raises:
        UserError: the index is missing or can't be understood, or there is no such folder.
    """
    index = read_index(csv, with_urls=with_urls)
    if not with_urls and not folder.is_dir():
        raise UserError(
            f"No folder {folder}. Expected the photos of {csv} in it: DIR/ID.jpg, "
            "DIR/a/b/c/ID.jpg, or the paths that it lists."
        )
    photos = index.photos
    collisions: list[Skipped] = []
    if _ignores_case(folder):
        photos, collisions = _drop_case_collisions(photos)
    photos, notes = add_boxes(photos, folder / BOXES_FILE)
    skipped = [*index.skipped, *collisions]
    return Source("index", photos, skipped, IdReader(folder), names, notes=notes)


def archive_source(
    csv: Path, folder: Path, names: dict[str, str], archives: str | None, url: str
) -> Source:
    """Lists the photos of an index that lie in tar files; fetches these if `archives` names some.

    Args:
        csv: The index.
        folder: Where the tar files lie, or are kept once they are fetched.
        names: landmark_id -> name.
        archives: Numbers of archives to fetch, such as "0-9".
        url: Where they are.

    Raises:
        UserError: files that are missing or can't be understood.
    """
    index = read_index(csv, with_urls=False)
    if index.names_files:
        raise UserError(
            f"{csv} lists files, and photos in tar files are found by id: unpack them, and name "
            f"their folder: --csv {shlex.quote(str(csv))} --photos DIR"
        )
    if archives:
        tars = open_tars(fetch_archives(parse_archives(archives), folder, url))
    else:
        tars = open_tars(folder)
    photos = [photo for photo in index.photos if photo.photo_id in tars]
    skipped = index.skipped + tars.skipped
    elsewhere = len(index.photos) - len(photos)
    return Source("archives", photos, skipped, tars, names, elsewhere=elsewhere)


def _ignores_case(folder):
    """Whether a folder's disk takes `A.jpg` and `a.jpg` for one file, as macOS and Windows do."""
    other = Path(str(folder.absolute()).swapcase())
    try:
        return folder.exists() and other.name != folder.name and other.samefile(folder)
    except OSError:
        return False


def _drop_case_collisions(photos: Sequence[Photo]) -> tuple[list[Photo], list[Skipped]]:
    """Drops photos whose ids differ only in case from an earlier one's: they share its file."""
    kept, skipped = [], []
    first: dict[str, str] = {}  # id in small letters -> the first one
    for photo in photos:
        other = first.setdefault(photo.photo_id.casefold(), photo.photo_id)
        if other == photo.photo_id:
            kept.append(photo)
        else:
            detail = f"the disk takes it for {other}"
            skipped.append(Skipped(photo.photo_id, "repeated id", detail))
    return kept, skipped
