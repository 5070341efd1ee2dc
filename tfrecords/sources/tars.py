"""Photos inside tar files: listed by their headers, then read in place; nothing is unpacked."""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfrecords.common.console import UserError
from tfrecords.common.parallel import map_on_cores
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.photo_file import check_size
from tfrecords.sources.photo_paths import PHOTO_SUFFIXES, is_safe_name
from tfrecords.sources.tar_headers import read_members

# Compressed ones are listed too, so that they are refused and not passed over.
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MIN_PARALLEL_TARS = (
    16  # are listed by all cores: one of 1 GB takes 0.25 s, starting a process 0.5 s
)

# Ids (UTF-8 bytes), and for each the number of its tar, its offset in there and its size.
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Tar:
    """A tar file as it was when it was listed."""

    path: Path
    size: int
    mtime_ns: int


class TarPhotos:
    """Where each photo lies in which tar file. Made by `open_tars`.

    It holds no open file, so it can be pickled and used by any number of processes and threads.
    Opening the file for each photo costs 12 us, measured, of the milliseconds that decoding takes.

    Attributes:
        skipped: Entries that look like photos and can't be used.
    """

    def __init__(self, tars: list[Tar], columns: Columns, skipped: list[Skipped]):
        self._tars = tars
        self._ids, *self._places = columns
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, photo_id: str) -> bool:
        return self._row(photo_id) is not None

    def __iter__(self) -> Iterator[str]:
        """Yields the id of every photo, sorted."""
        return (photo_id.decode() for photo_id in self._ids)

    def read(self, photo: Photo) -> bytes:
        """Returns the bytes of a photo's file.

        Raises:
            FileNotFoundError: no tar has it.
            PhotoError: it is larger than any photo.
            UserError: its tar is no longer the one that was listed.
        """
        tar, offset, size = self._find(photo.photo_id)
        check_size(size)
        with _open_unchanged(tar) as file:
            file.seek(offset)
            return file.read(size)

    def stamp(self, photo: Photo) -> str:
        """Returns a text that is another one if the photo's tar was another when it was listed.

        Raises:
            FileNotFoundError: no tar has it.
        """
        tar, offset, _ = self._find(photo.photo_id)
        return f"{tar.path.name} {tar.size} {tar.mtime_ns} {offset}"

    def _find(self, photo_id):
        row = self._row(photo_id)
        if row is None:
            raise FileNotFoundError(f"No tar file has a photo {photo_id}.")
        number, offset, size = (int(column[row]) for column in self._places)
        return self._tars[number], offset, size

    def _row(self, photo_id):
        key = photo_id.encode("utf-8", "surrogatepass")
        row = bisect_left(self._ids, key)
        return row if row < len(self._ids) and self._ids[row] == key else None


def open_tars(source: Path | Iterable[Path]) -> TarPhotos:
    """Lists the photos of tar files by reading their headers, with a progress bar.

    A photo is an entry `.../ID.jpg`. Links, devices and entries with `..` or an absolute path are
    refused and listed in `skipped`; folders and other files are passed over. Of photos with the
    same id the first one counts, in the order of the tars' names.

    Args:
        source: Folder with tar files, one tar file, or several.

    Raises:
        UserError: there is no tar, or one that is compressed, cut short, damaged or no tar at all;
            or no photo in any.
    """
    paths = _list_tars(source)
    tars: list[Tar] = []
    parts, skipped = [], []
    scans = map_on_cores(_scan, paths, None if len(paths) >= MIN_PARALLEL_TARS else 1)
    for tar, entries in tqdm(scans, "Listing tar files", len(paths), unit=" files"):
        parts.append(entries.columns(len(tars)))
        tars.append(tar)
        skipped += entries.skipped
    columns = _merge(parts, tars, skipped)
    if not len(columns[0]):
        raise UserError(
            f"No photo in {', '.join(map(str, paths))}. Expected entries like a/b/c/ID.jpg, got "
            f"none, and {len(skipped)} that were refused. Name other files with --tars."
        )
    return TarPhotos(tars, columns, skipped)


class _Entries:
    """The photos of one tar as it is read. Compact, since one tar may hold millions."""

    def __init__(self, tar_name):
        self._tar_name = tar_name
        self._ids, self._offsets, self._sizes = [], array("q"), array("q")
        self.skipped = []

    def add(self, member):
        if fault := _find_fault(member):
            self._skip(member.name, "unsafe archive entry", fault)
            return
        name = member.name.rpartition("/")[2]
        photo_id, _, suffix = name.rpartition(".")
        if not photo_id or suffix.lower() not in PHOTO_SUFFIXES or name.startswith("."):
            return
        if not is_safe_name(photo_id):
            self._skip(photo_id, "unsafe name", "entry")
            return
        self._ids.append(photo_id.encode())
        self._offsets.append(member.offset_data)
        self._sizes.append(member.size)

    def columns(self, tar_number) -> Columns:
        ids = np.array(self._ids, dtype=None if self._ids else "S1")
        numbers = np.full(len(ids), tar_number, np.int32)
        return ids, numbers, np.array(self._offsets), np.array(self._sizes)

    def _skip(self, name, reason, what):
        name = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        self.skipped.append(Skipped(name, reason, f"{what} in {self._tar_name}"))


def _list_tars(source):
    if not isinstance(source, Path):
        return sorted(source, key=lambda path: (path.name, path))
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"No folder {source}. Expected a folder with tar files of photos.")
    paths = [path for path in source.iterdir() if path.is_file() and path.name[0] != "."]
    paths = sorted(path for path in paths if path.name.lower().endswith(TAR_ENDINGS))
    if not paths:
        raise UserError(
            f"No tar file in {source}. Expected archives of Google Landmarks, images_000.tar and "
            "so on. To fetch the first ten: --archives 0-9"
        )
    return paths


def _scan(path):
    entries = _Entries(path.name)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            for member in read_members(path, file):
                if not member.isdir():
                    entries.add(member)
    except OSError as error:
        raise UserError(f"Can't read {path} ({error.strerror}).") from error
    return Tar(path, status.st_size, status.st_mtime_ns), entries


def _find_fault(member):
    if member.issym() or member.islnk():
        return "link"
    if not member.isreg():
        return "device or special file"
    if member.issparse():
        return "sparse file"
    if member.name.startswith("/"):
        return "absolute path"
    return "`..`" if ".." in member.name and ".." in member.name.split("/") else ""


def _merge(parts, tars, skipped):
    """Joins the tars' columns, sorted by id. Of equal ids the first stays, others are `skipped`."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")  # equal ids stay in the order of the tars
    ids, numbers, *places = (column[order] for column in columns)
    repeated = np.flatnonzero(ids[1:] == ids[:-1]) + 1
    for row in repeated:
        kept = tars[numbers[bisect_left(ids, ids[row])]].path.name
        detail = f"in {tars[numbers[row]].path.name}, read from {kept}"
        skipped.append(Skipped(ids[row].decode(), "repeated id", detail))
    return tuple(np.delete(column, repeated) for column in (ids, numbers, *places))


def _open_unchanged(tar):
    try:
        file = open(tar.path, "rb")  # noqa: SIM115
    except OSError as error:
        raise _changed(tar) from error
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns) != (tar.size, tar.mtime_ns):
        file.close()
        raise _changed(tar)
    return file


def _changed(tar):
    return UserError(
        f"{tar.path} was changed or taken away while photos were read from it. Put it back if it "
        "is gone, and type the same command again."
    )
