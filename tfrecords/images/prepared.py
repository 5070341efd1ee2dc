"""Photos made ready for records, on all cores; what is done survives a kill."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from tfrecords.common.console import UserError
from tfrecords.common.parallel import map_on_cores
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.convert import JPEG_QUALITY, PhotoError, prepare_photo
from tfrecords.images.fingerprints import fingerprint

DIGEST_BYTES = 16
CHUNK_PHOTOS = 16  # photos a worker is handed at once: a message per photo would slow small ones
MIN_PARALLEL_PHOTOS = 64  # photos below which starting processes costs more than it saves
COMMIT_SECONDS = 1.0  # what a kill can cost
FORMAT = 3  # of the file below; another number, and how photos are decoded has changed

TABLES = """
    CREATE TABLE IF NOT EXISTS settings (json TEXT);
    CREATE TABLE IF NOT EXISTS photos (
        photo_id TEXT PRIMARY KEY, stamp TEXT, reason TEXT, detail TEXT, digest BLOB,
        fingerprint BLOB, source BLOB, jpeg BLOB
    );
"""


class Reader(Protocol):
    """Where photos come from. Pickled for worker processes."""

    def read(self, photo: Photo) -> bytes:
        """Returns the bytes of the file; `PhotoError` or `OSError` where it can't."""

    def stamp(self, photo: Photo) -> str:
        """Returns a text that changes when the file does; `OSError` where it can't."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the build must know of a good photo before it can place it.

    Attributes:
        digest: Hash of the JPEG that goes into the record.
        fingerprint: What `tfrecords.images.near_duplicates` compares.
        source: Hash of the file that the photo came in.
    """

    digest: bytes
    fingerprint: bytes
    source: bytes = b""


Outcome = Prepared | Skipped


def prepare(
    photo: Photo, read: Callable[[Photo], bytes], short_side: int
) -> tuple[bytes, Prepared] | Skipped:
    """Reads one photo and makes its JPEG.

    Returns:
        The JPEG and what is known of it, or why there is none.
    """
    try:
        data = read(photo)
        jpeg = prepare_photo(data, short_side)
    except PhotoError as error:
        return Skipped(photo.photo_id, error.reason, error.detail)
    except FileNotFoundError:
        return Skipped(photo.photo_id, "missing")
    except OSError as error:
        return Skipped(photo.photo_id, "unreadable", error.strerror or "")
    return jpeg, Prepared(digest_of(jpeg), fingerprint(jpeg), digest_of(data))


def digest_of(data: bytes) -> bytes:
    """Returns the hash that exact copies, of a file or of a JPEG, have in common."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


class PreparedPhotos:
    """The JPEGs of all good photos in one SQLite file, since the split needs all of them first.

    Decoding is the slow part: it is done once, and the records are copied from here. Each photo has
    a row, with its JPEG or the reason why there is none, and the stamp of its file: one that has
    changed since is done again. The file is this process's alone as long as it is open, and is not
    kept while it holds nothing.
    """

    def __init__(self, path: Path, short_side: int):
        self._path = path
        self._short_side = short_side

    def __enter__(self):
        self._database = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            # A killed process loses nothing that was handed to the system; only a power failure
            # would, and syncing the disk every second takes too long for that.
            self._database.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; BEGIN IMMEDIATE;"
                + TABLES
            )
            self._check_settings()
        except BaseException as error:
            self._database.close()
            _explain(error, self._path.parent)
            raise
        return self

    def __exit__(self, error_type, *_):
        try:
            empty = self._database.execute("SELECT 1 FROM photos").fetchone() is None
            if self._database.in_transaction:
                self._database.execute("COMMIT")
            if empty:
                self._path.unlink()
        except sqlite3.Error:
            if error_type is None:  # else it is the same error again
                raise
        finally:
            self._database.close()

    def fill(self, photos: Sequence[Photo], reader: Reader, processes: int | None = None) -> None:
        """Prepares those of `photos` that are not done yet, with a progress bar.

        Args:
            photos: Whose files are read.
            reader: Where from.
            processes: Int, how many work at once; None for one per core.
        """
        stamps = dict(self._database.execute("SELECT photo_id, stamp FROM photos"))
        todo = [photo for photo in photos if not _is_done(photo, reader, stamps)]
        done = len(photos) - len(todo)
        if done:
            print(f"{done:,} photos were read before; reading the other {len(todo):,}.")
        results = _prepare_all(todo, reader, self._short_side, processes)
        bar = tqdm(results, "Reading photos", len(photos), initial=done, unit=" photos")
        committed = time.monotonic()
        for row in bar:
            self._insert(row)
            if time.monotonic() - committed > COMMIT_SECONDS:
                self._commit()
                committed = time.monotonic()
        self._commit()

    def take_over(self, photo_id: str, stamp: str, known: Prepared, jpeg: bytes | None) -> None:
        """Takes a photo that another build has prepared; with the file's stamp, it is done.

        Args:
            photo_id: Of the photo.
            stamp: From `Reader.stamp`.
            known: What that build knew of it.
            jpeg: Its JPEG; None for a copy that gets no record.
        """
        self._insert((photo_id, stamp, "", "", known.digest, known.fingerprint, known.source, jpeg))

    def outcomes(self, photos: Sequence[Photo]) -> Iterator[Outcome]:
        """Yields what came of each of `photos`, in their order."""
        query = "SELECT reason, detail, digest, fingerprint, source FROM photos WHERE photo_id = ?"
        for photo in photos:
            reason, detail, *good = self._database.execute(query, (photo.photo_id,)).fetchone()
            yield Skipped(photo.photo_id, reason, detail) if reason else Prepared(*good)

    def read(self, photo: Photo) -> bytes:
        """Returns the JPEG of a good photo."""
        query = "SELECT jpeg FROM photos WHERE photo_id = ?"
        return self._database.execute(query, (photo.photo_id,)).fetchone()[0]

    def _insert(self, row):
        values = ", ".join("?" * len(row))
        self._database.execute(f"INSERT OR REPLACE INTO photos VALUES ({values})", row)

    def _commit(self):
        self._database.execute("COMMIT")
        self._database.execute("BEGIN IMMEDIATE")

    def _check_settings(self):
        ours = json.dumps(
            {"format": FORMAT, "short_side": self._short_side, "quality": JPEG_QUALITY}
        )
        row = self._database.execute("SELECT json FROM settings").fetchone()
        if row is None:
            self._database.execute("INSERT INTO settings VALUES (?)", (ours,))
        elif row[0] != ours:
            raise UserError(
                f"{self._path.parent} holds a build that was started with {row[0]}; expected "
                f"{ours}. Repeat its options to resume it, or delete that folder to start anew."
            )


def _explain(error, folder):
    """Raises a `UserError` for what SQLite says of a file in use or damaged by a power failure."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_BUSY:
        raise UserError(
            f"Another process is building in {folder}. Wait for it to end, or name another --out."
        ) from error
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise UserError(
            f"What an interrupted build left in {folder} can't be read ({error}). Delete that "
            "folder and type the same command again."
        ) from error


def _is_done(photo, reader, stamps):
    if photo.photo_id not in stamps:
        return False
    return _stamp(photo, reader) == stamps[photo.photo_id]


def _stamp(photo, reader):
    try:
        return reader.stamp(photo)
    except OSError:
        return ""


def _prepare_all(photos, reader, short_side, processes):
    """Yields a row of the table for each of `photos`, in their order."""
    processes = processes or (1 if len(photos) < MIN_PARALLEL_PHOTOS else None)
    chunks = (photos[start : start + CHUNK_PHOTOS] for start in range(0, len(photos), CHUNK_PHOTOS))
    settings = (reader, short_side)

    def find_costly(chunk):
        """A process was killed over this chunk: its photos are tried one by one."""
        ones = ([photo] for photo in chunk)
        rows = map_on_cores(_prepare_rows, ones, 2, settings, if_killed=skip)
        return list(chain.from_iterable(rows))

    def skip(ones):
        stamp = _stamp(ones[0], reader)
        return [(ones[0].photo_id, stamp, "too costly", "", None, None, None, None)]

    rows = map_on_cores(_prepare_rows, chunks, processes, settings, if_killed=find_costly)
    return chain.from_iterable(rows)


def _prepare_rows(photos, reader, short_side):
    return [_prepare_row(photo, reader, short_side) for photo in photos]


def _prepare_row(photo, reader, short_side):
    stamp = _stamp(photo, reader)
    result = prepare(photo, reader.read, short_side)
    if isinstance(result, Skipped):
        return photo.photo_id, stamp, result.reason, result.detail, None, None, None, None
    jpeg, known = result
    return photo.photo_id, stamp, "", "", known.digest, known.fingerprint, known.source, jpeg
