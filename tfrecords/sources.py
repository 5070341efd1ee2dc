"""Where photos come from: a folder, an index with a folder, an index with archives."""

from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.archives import fetch_archives, parse_archives
from tfrecords.console import UserError
from tfrecords.csv_index import read_index, read_names
from tfrecords.index import Photo, Skipped, list_folder
from tfrecords.names import photo_path
from tfrecords.options import BuildOptions
from tfrecords.prepared import Reader
from tfrecords.tars import open_tars


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
        return self._path(photo).read_bytes()

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


def open_source(options: BuildOptions) -> Source:
    """Lists the photos that the options name; fetches archives if these are asked for.

    Raises:
        UserError: files that are missing or can't be understood.
    """
    names = read_names(options.names) if options.names else {}
    if options.csv is None:
        return _folder_source(options.photos, names, options.split)
    index = read_index(options.csv, with_urls=options.download)
    if options.tars or options.archives:
        return _archive_source(options, index, names)
    return Source("index", index.photos, index.skipped, IdReader(options.photo_folder), names)


def _folder_source(folder, names, shares):
    listing = list_folder(folder)
    if shares and listing.photos[0].split:
        raise UserError(
            f"{folder} is split already, and its splits are kept: leave out --split; or move the "
            "landmarks' folders out of train, validation and test, to have them split anew."
        )
    strays = [Skipped(name, "no landmark folder") for name in listing.strays]
    return Source("folder", listing.photos, strays, FileReader(), names, listing.empty_folders)


def _archive_source(options, index, names):
    if options.archives:
        numbers = parse_archives(options.archives)
        paths = fetch_archives(numbers, options.tar_folder, options.archives_url)
        tars = open_tars(paths)
    else:
        tars = open_tars(options.tar_folder)
    photos = [photo for photo in index.photos if photo.photo_id in tars]
    skipped = index.skipped + tars.skipped
    elsewhere = len(index.photos) - len(photos)
    return Source("archives", photos, skipped, tars, names, elsewhere=elsewhere)
