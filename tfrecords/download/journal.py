"""downloads.csv: what came of each URL that was asked for, so that none is fetched twice."""

import csv
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tfrecords.common.console import UserError
from tfrecords.common.files import locked, writable

JOURNAL = "downloads.csv"
LOCK = ".downloads.lock"
HEADER = b"photo_id,url,outcome,detail,bytes\n"
FETCHED = "ok"  # an outcome; all others are keys of `tfrecords.common.types.REASONS`
MAX_LINE_BYTES = 1 << 17  # no line is longer, since a URL has at most 8,000 characters


class Outcome(NamedTuple):
    """A line of the journal; the last one of a photo counts.

    Attributes:
        photo_id: The photo.
        url: What was asked for.
        outcome: `FETCHED`, or why there is no photo.
        detail: What more is known.
        bytes: Of the photo's file; of a photo with too many bytes, the limit.
        has_file: Whether a file came, be it one that the build can't use.
    """

    photo_id: str
    url: str
    outcome: str
    detail: str
    bytes: int

    @property
    def has_file(self) -> bool:
        return self.bytes > 0 and self.outcome != "too many bytes"


class OutcomeJournal:
    """The journal of a folder of photos, for one process at a time.

    Lines are only ever appended, each of them at once, so that a kill leaves at most the last one
    truncated; it is dropped when the journal is opened next. The system releases the lock when the
    process ends, however it does.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL

    def __enter__(self):
        folder = self.path.parent
        with ExitStack() as stack:
            with writable(folder, "--photos"):
                folder.mkdir(parents=True, exist_ok=True)
                busy = f"Another process is fetching photos into {folder}. Wait for it to end, or "
                stack.enter_context(locked(folder / LOCK, f"{busy}name another --photos."))
                # Line buffered: a line has left the process when `add` returns.
                self._file = open(self.path, "a", 1, encoding="utf-8", newline="")
            stack.callback(self._file.close)
            self._repair()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def add(self, outcome: Outcome) -> None:
        """Appends a line."""
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

    def _repair(self):
        """Drops a truncated last line, and writes the header if there is none."""
        with open(self.path, "r+b") as file:
            if not HEADER.startswith(file.readline(len(HEADER))):
                raise UserError(
                    f"{self.path} is in the way: expected what an earlier download wrote, starting "
                    f"with {_header()}. Move that file away, or name another --photos."
                )
            start = max(0, file.seek(0, os.SEEK_END) - MAX_LINE_BYTES)
            file.seek(start)
            end = start + file.read().rfind(b"\n") + 1
            file.truncate(end)
            if end == 0:
                file.seek(0)
                file.write(HEADER)


def _header():
    return HEADER.decode().strip()
