"""Files written atomically and durably, locks, sizes and tables."""

import csv
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import filelock

from tfrecords.common.console import UserError

LOCK = ".lock"  # in a folder that one process at a time works in
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)  # what the system says of a protected folder
TEMPORARY = ".tmp-"  # how the name of a file begins that is still being written
_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY) + r"[0-9a-f]{16}(\.[^.]*)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary name to write to; after the block, what lies there replaces `path`.

    For libraries that write a file, or a folder, themselves. A reader finds what was there before
    or all of the new, even after a power failure; a block that fails leaves nothing behind.

    Args:
        path: Final name; the folder that it is in exists. A folder there must be empty.

    Yields:
        A unique name in the same folder with the suffix of `path`, as some libraries go by it.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        rename_durably(temporary, path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: str | bytes) -> None:
    """Writes a file as `atomic_path` does; text as UTF-8 with its line ends as they are."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, values: dict) -> None:
    """Writes an object as `atomic_path` does, in lines that people can read."""
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def without_nan(value: Any) -> Any:
    """Returns `value` with None for each NaN in its dicts and lists: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a UTF-8 table with a header line as `atomic_path` does, row by row."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def rename_durably(source: Path, target: Path) -> None:
    """Renames a file or folder, once all of it is on the disk and not only in a cache.

    Otherwise a power failure can leave the new name with empty files behind it.
    """
    sync(source)
    os.replace(source, target)
    _sync_folder(target.parent)


def sync(path: Path) -> None:
    """Waits until a file, or a folder and all in it, is on the disk and not only in a cache."""
    folders = [parent for parent, _, _ in os.walk(path)] if path.is_dir() else []
    for folder in folders:
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                _sync(entry.path, os.O_RDWR)
    if not folders:
        _sync(path, os.O_RDWR)
    for folder in folders:
        _sync_folder(folder)


def _sync_folder(folder):
    if hasattr(os, "O_DIRECTORY"):  # Windows can't, and need not
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path, flags):
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks have no fsync
            raise
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, message: str, wait: bool = False) -> Iterator[None]:
    """Holds a lock file; the system releases it when this process ends, however it does.

    The file stays: another process may wait for it.

    Args:
        path: Of the lock file; its folder exists.
        message: Of the error where another process holds it.
        wait: Whether to print that and wait, instead of refusing.

    Raises:
        UserError: another process holds it.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        if not wait:
            raise UserError(message) from error
        print(message, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writable(folder: Path, flag: str) -> Iterator[None]:
    """Turns an error of the system in the block into one of the flag that has named a folder.

    Raises:
        UserError: the folder can't be made or written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Can't write to {folder} ({error.strerror}). Name another {flag}."
        ) from error


def unexpected_files(folder: Path) -> list[str]:
    """Names the files in a folder but for its lock and what a killed process has left."""
    if not folder.exists():
        return []
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if name != LOCK and not name.startswith(TEMPORARY)]


def delete_temporary(folder: Path) -> None:
    """Deletes what killed processes left in a folder of files that `atomic_path` writes.

    Args:
        folder: Path, perhaps of nothing. No other process writes there now.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        if _TEMPORARY_NAME.fullmatch(path.name):
            path.unlink()


def make_empty_folder(folder: Path, flag: str, mine: str = "") -> None:
    """Makes a folder for what is going to be written.

    Args:
        folder: Path; may be there already, with nothing in it.
        flag: That names it, for messages: "--out".
        mine: Name of a file; a folder that holds it is taken as it is, as an earlier result.

    Raises:
        UserError: it holds something else, or can't be made.
    """
    is_mine = bool(mine) and (folder / mine).is_file()
    if not (is_mine or is_free(folder)):
        what = f", or one with {mine}" if mine else ""
        other = shlex.quote(str(folder.with_name(folder.name + "-2")))
        raise UserError(
            f"{flag} {folder}: expected a new or empty folder{what}, and there is something else. "
            f"Delete it, or name another one: {flag} {other}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} can't be made ({error.strerror}). Name another one: {flag} DIR"
        ) from error


def unused_folder(folder: Path) -> Path:
    """Returns the first of `folder`, `folder`-2, `folder`-3, ... that `is_free`."""
    others = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(filter(is_free, chain([folder], others)))


def is_free(folder: Path) -> bool:
    """Whether a folder is not there, or is empty."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_below(folder: Path) -> int:
    """Returns how many bytes the files below `folder` have; they may come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def show_bytes(count: float) -> str:
    """Writes a number of bytes for people: 1234567 is "1.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1000
    return f"{count:.1f} TB"


def warn_corrupted(path: Path, remedy: str) -> None:
    """Warns of a file that is not what was written.

    Args:
        path: The file.
        remedy: What is done about it, in the words that end the sentence.
    """
    print(f"warning: {path} was damaged; {remedy}.", file=sys.stderr)
