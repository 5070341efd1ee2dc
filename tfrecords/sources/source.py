"""Where photos come from: a folder, an index with a folder, an index with archives."""

from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.photo_file import read_photo_file
from tfrecords.images.prepared import Reader
from tfrecords.sources.archives import fetch_archives, parse_archives
from tfrecords.sources.challenge_csv import read_index
from tfrecords.sources.folder import list_folder
from tfrecords.sources.photo_paths import photo_path
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
    """

    kind: str
    photos: list[Photo]
    skipped: list[Skipped]
    reader: Reader
    names: dict[str, str] = field(default_factory=dict)
    empty_landmarks: list[str] = field(default_factory=list)
    elsewhere: int = 0


class FileReader:
    """Reads photos whose location is a path."""

    def read(self, photo: Photo) -> bytes:
        return read_photo_file(self._path(photo))

    def stamp(self, photo: Photo) -> str:
        stat = self._path(photo).stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def _path(self, photo):
        return Path(photo.location)


@dataclass(frozen=True)
class IdReader(FileReader):
    """Reads `folder/ID.jpg` or `folder/a/b/c/ID.jpg` (a, b, c: the first characters of the id)."""

    folder: Path

    def _path(self, photo):
        deep = photo_path(self.folder, photo.photo_id)
        flat = self.folder / f"{photo.photo_id}.jpg"
        return flat if flat.exists() else deep


def folder_source(folder: Path, names: dict[str, str], shares: tuple | None) -> Source:
    """Lists the photos of a folder that holds one sub-folder per landmark.

    Args:
        folder: Path.
        names: landmark_id -> name.
        shares: Percent for train, validation and test, where they were asked for.

    Raises:
        UserError: no such folder, no photos in it, or it is split already and `shares` are given.
    """
    listing = list_folder(folder)
    if shares and listing.photos[0].split:
        raise UserError(
            f"{folder} is split already, and its splits are kept: leave out --split; or move the "
            "landmarks' folders out of train, validation and test, to have them split anew."
        )
    strays = [Skipped(name, "no landmark folder") for name in listing.strays]
    return Source("folder", listing.photos, strays, FileReader(), names, listing.empty_folders)


def index_source(csv: Path, folder: Path, names: dict[str, str], with_urls: bool) -> Source:
    """Lists the photos of an index that lie in `folder`, or will once they are downloaded.

    Raises:
        UserError: the index is missing or can't be understood.
    """
    index = read_index(csv, with_urls=with_urls)
    return Source("index", index.photos, index.skipped, IdReader(folder), names)


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
    if archives:
        tars = open_tars(fetch_archives(parse_archives(archives), folder, url))
    else:
        tars = open_tars(folder)
    photos = [photo for photo in index.photos if photo.photo_id in tars]
    skipped = index.skipped + tars.skipped
    elsewhere = len(index.photos) - len(photos)
    return Source("archives", photos, skipped, tars, names, elsewhere=elsewhere)
