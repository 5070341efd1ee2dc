"""downloads.csv: what came of each URL that was asked for, so that none is asked for twice."""

import csv
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tfrecords.common.console import UserError

JOURNAL = "downloads.csv"
HEADER = b"photo_id,url,outcome,detail,bytes\n"
HAS_COME = "ok"  # an outcome; all others are keys of `tfrecords.common.types.REASONS`
TAIL = 1 << 17  # bytes; no line is longer, since a URL has at most 8,000 characters


class Outcome(NamedTuple):
    """A line of the journal; the last one of a photo counts.

    Attributes:
        photo_id: The photo.
        url: What was asked for.
        outcome: `HAS_COME`, or why it could not be had.
        detail: What more is known.
        bytes: Of the photo; of a photo with too many bytes, the limit.
    """

    photo_id: str
    url: str
    outcome: str
    detail: str
    bytes: int


class OutcomeJournal:
    """The journal of a folder of photos, for one process at a time.

    Lines are only ever added, each of them at once, so that a kill leaves at most the last one
    torn; it is dropped when the journal is opened next. The lock goes with the process, however
    it ends.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL

    def __enter__(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Line buffered: a line has left the process when `add` returns.
            self._file = open(self.path, "a", 1, encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(
                f"Can't write to {self.path.parent} ({error.strerror}). Name another --photos."
            ) from error
        try:
            self._lock()
            self._mend()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_):
        self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Adds a line."""
        csv.writer(self._file, lineterminator="\n").writerow(outcome)

    def read(self) -> Iterator[Outcome]:
        """Yields what earlier runs have written, oldest first.

        Raises:
            UserError: a line is damaged.
        """
        with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            try:
                for photo_id, url, outcome, detail, size in rows:
                    yield Outcome(photo_id, url, outcome, detail, int(size))
            except (ValueError, csv.Error) as error:
                raise UserError(
                    f"{self.path}, line {rows.line_num}: expected {_header()}, as an earlier "
                    f"download wrote it ({error}). Delete that line: its photo is asked for again "
                    "if it is not there."
                ) from error

    def _lock(self):
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another process is fetching photos into {self.path.parent}. Wait for it to end, "
                "or name another --photos."
            ) from error

    def _mend(self):
        """Drops a torn last line, and writes the first one if there is none."""
        with open(self.path, "r+b") as file:
            if not HEADER.startswith(file.readline(len(HEADER))):
                raise UserError(
                    f"{self.path} is in the way: expected what an earlier download wrote, starting "
                    f"with {_header()}. Move that file away, or name another --photos."
                )
            start = max(0, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            end = start + file.read().rfind(b"\n") + 1
            file.truncate(end)
            if end == 0:
                file.seek(0)
                file.write(HEADER)


def _header():
    return HEADER.decode().strip()
