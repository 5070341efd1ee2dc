"""Keeps a folder of Google Landmarks v2 archives: fetches what is missing, checks every md5."""

import hashlib
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.console import UserError

GOOGLE_LANDMARK_URL = "https://s3.amazonaws.com/google-landmark"
NUM_ARCHIVES = 500  # of the training photos, about 1 GB each
BLOCK_BYTES = 1 << 20
LEDGER = "verified.sqlite"


def parse_archives(text: str) -> list[int]:
    """Reads archive numbers as the user types them, such as `0-9` or `0-2,7,10-12`.

    Returns:
        The numbers, sorted, each once.

    Raises:
        UserError: it is something else, or a number is above 499.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < NUM_ARCHIVES:
            raise UserError(
                f"--archives: expected numbers from 0 to {NUM_ARCHIVES - 1} like 0-9 or 0-2,7, got "
                f"{part.strip()!r} in {text!r}."
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def fetch_archives(
    numbers: Iterable[int], folder: Path, base_url: str = GOOGLE_LANDMARK_URL
) -> list[Path]:
    """Makes sure that `folder` has the archives images_NNN.tar, each with its published md5.

    An archive gets its name once its md5 is correct, so no half file ever has it. What was checked
    is remembered with its size and time, and neither fetched nor read again. A file of that name
    that is there already, from wherever, is checked and kept. A wrong md5 or a broken transfer is
    fetched again once. A killed command resumes with what is missing.

    Args:
        numbers: Which archives.
        folder: Where to; made if it is not there.
        base_url: Address of the server's folder with `train/` and `md5sum/`.

    Returns:
        Path of each archive, in the order of `numbers`.

    Raises:
        UserError: the server can't be reached, has no such archive, stalls or sends a wrong one;
            or another process fetches into `folder`.
    """
    paths = [folder / f"images_{number:03}.tar" for number in numbers]
    with _Ledger(folder) as ledger:
        missing = [path for path in paths if not ledger.knows(path)]
        if missing:
            _fetch_missing(missing, base_url.rstrip("/"), ledger)
    return paths


class _Ledger:
    """Which archives of a folder had the correct md5. While it is open the folder is ours alone.

    SQLite, because its lock works on every system and ends with the process.
    """

    def __init__(self, folder):
        self._path = folder / LEDGER

    def __enter__(self):
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One thread at a time uses it, but perhaps another one: see `run_event_loop`.
            self._database = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._explain(error) from error
        try:
            self._database.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS "
                "verified (name TEXT PRIMARY KEY, md5 TEXT, size INTEGER, mtime_ns INTEGER); COMMIT"
            )
        except sqlite3.Error as error:
            self._database.close()
            raise self._explain(error) from error
        return self

    def __exit__(self, *_):
        self._database.close()

    def knows(self, path: Path) -> bool:
        """Whether the file is there as it was when its md5 was correct."""
        query = "SELECT size, mtime_ns FROM verified WHERE name = ?"
        row = self._database.execute(query, (path.name,)).fetchone()
        return path.exists() and row == _size_and_time(path)

    def remember(self, path: Path, md5: str) -> None:
        row = (path.name, md5, *_size_and_time(path))
        try:
            self._database.execute("INSERT OR REPLACE INTO verified VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error):
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return UserError(
                f"Another process is fetching archives into {self._path.parent}. Wait for it to "
                "end, then type the same command again."
            )
        return UserError(
            f"Can't write {self._path} ({error}). Expected a folder we may write to, with room on "
            "its disk. If the file is damaged, delete it: the archives are then checked again."
        )


def _fetch_missing(paths, base_url, ledger):
    from tfrecords.sources.archive_transfers import fetch_archive_files, fetch_md5s

    md5s = fetch_md5s([f"{base_url}/md5sum/train/md5.{path.stem}.txt" for path in paths])
    expected = dict(zip(paths, md5s, strict=True))
    wanted = {}
    for path, md5 in expected.items():
        if path.exists() and _hash(path, path.name) == md5:
            ledger.remember(path, md5)
        else:
            wanted[f"{base_url}/train/{path.name}"] = path, md5
    if not wanted:
        return
    problems = fetch_archive_files(wanted, lambda path: ledger.remember(path, expected[path]))
    if problems:
        numbers = sorted(int(wanted[url][0].stem.removeprefix("images_")) for url in problems)
        raise UserError(
            "\n".join(problems.values())
            + "\nThat was the second try; archives without a problem are in place.\nType the same "
            "command again later, which resumes, or leave "
            f"{','.join(map(str, numbers))} out of --archives."
        )


def _hash(path, name):
    digest = hashlib.md5(usedforsecurity=False)
    size = path.stat().st_size
    bar = tqdm(desc=f"Checking {name}", total=size, unit="B", unit_scale=True, leave=False)
    with bar, open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _size_and_time(path):
    status = path.stat()
    return status.st_size, status.st_mtime_ns
