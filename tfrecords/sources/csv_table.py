"""Reads a CSV file by the names of its columns, each row with its line number. No TensorFlow."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.types import one_line

# Names of columns in the wild, the clearest first; in small letters.
FILE_COLUMNS = (
    *("filename", "file_name", "filepath", "file_path", "file", "path"),
    *("image_path", "image_name", "image", "img", "photo", "id"),
)
LABEL_COLUMNS = (
    *("label", "class", "class_name"),
    *("landmark", "landmark_name", "landmark_id", "category"),
)
COLUMNS = {"url", "images", *FILE_COLUMNS, *LABEL_COLUMNS}  # others are ignored
LONGEST_FIELD = 10_000  # characters; servers give up on shorter URLs
LONGEST_SHOWN = 100  # characters of a wrong field that messages and skipped.csv repeat


@contextmanager
def open_table(path: Path) -> Iterator["Table"]:
    """Opens a CSV file whose first line names the columns.

    A byte-order mark, CRLF, quoted commas and blank lines are fine.

    Raises:
        UserError: it can't be read, is empty, or, even if found late, no UTF-8.
    """
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            header = next((row for row in reader if "".join(row).strip()), None)
            if header is None:
                raise UserError(f"{path} is empty. Expected a CSV file: copy it here once more.")
            yield Table(path, reader, [name.strip() for name in header])
    except csv.Error as error:
        raise UserError(
            f"{path}: expected the names of columns in its first line, got no CSV ({error}). "
            "Correct that line."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(_describe_bytes(path)) from error
    except OSError as error:
        raise UserError(
            f"Can't read {path} ({error.strerror}). Expected a CSV file: check its name."
        ) from error
    finally:
        csv.field_size_limit(limit)


@dataclass(frozen=True)
class Table:
    """A CSV file that has been read as far as its header.

    Attributes:
        path: Its name, for messages.
        reader: csv's reader, at the first row.
        header: The names of the columns.
    """

    path: Path
    reader: Iterator[list[str]]
    header: list[str]

    def find_columns(self, *names: str) -> list[int]:
        """Returns the place of each column; raises UserError where one is missing or repeated."""
        if any(self.header.count(name) != 1 for name in names):
            raise UserError(_describe_header(self, names))
        return [self.header.index(name) for name in names]

    def rows(
        self, longest_field: int, refuse: Callable[[int, str], None]
    ) -> Iterator[tuple[int, list[str]]]:
        """Yields (line, fields) of the rows that have as many fields as the header.

        Args:
            longest_field: Int, characters; csv's own limit is one for the whole process.
            refuse: Called with the line of any other row, unless it is blank, and what is wrong.

        Raises:
            UserError: a quotation mark is never closed, so that rows would be lost.
        """
        csv.field_size_limit(longest_field)
        for first, last, row, problem in self._numbered_rows():
            if last > first:
                self._check_lines(first, last, row)
            if len(row) == len(self.header):
                yield first, row
            elif problem or "".join(row).strip():  # else a blank line
                refuse(first, problem or f"expected {len(self.header)} fields, got {len(row)}")

    def _numbered_rows(self):
        """Yields (first line, last line, fields, what csv finds wrong) of each row."""
        last = self.reader.line_num
        while True:
            first, row, problem = last + 1, [], ""
            try:
                row = next(self.reader)
            except StopIteration:
                return
            except csv.Error as error:  # the next call continues with the line after it
                problem = str(error)
            last = self.reader.line_num
            yield first, last, row, problem

    def _check_lines(self, first, last, row):
        """A quote never closed swallows rows. Only columns we don't read may have line breaks."""
        pairs = zip(self.header, row, strict=False)
        ours = [field for name, field in pairs if name.lower() in COLUMNS]
        if len(row) != len(self.header) or any("\n" in field or "\r" in field for field in ours):
            raise UserError(
                f"{self.path}, line {first}: expected one row per line, but a quotation mark there "
                f"is still open in line {last}. Close or delete it."
            )


def shown(text: str) -> str:
    """Returns a wrong field as messages and skipped.csv repeat it: one line, not too long."""
    return one_line(text[:LONGEST_SHOWN]) + "..." * (len(text) > LONGEST_SHOWN)


def _describe_header(table, names):
    others = " (or landmark_id,images, or filename,label)" * (names == ("id", "landmark_id"))
    expected = ",".join(names) + others
    text = f"{table.path}: expected the columns {expected}, got {shown(','.join(table.header))}."
    for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if mark in table.header[0]:
            return f"{text} Its columns are separated by {name}: save it with commas."
    if "url" in names and "url" not in table.header:
        return f"{text} Without URLs nothing can be downloaded: say where the photos are instead."
    return f"{text} Write the names of the columns into its first line."


def _describe_bytes(path):
    """Says which line is no UTF-8: the decoder itself only knows the place in its buffer."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return (
                    f"{path}, line {number}: expected UTF-8, got the byte "
                    f"0x{line[error.start]:02x}. Save the file as UTF-8."
                )
