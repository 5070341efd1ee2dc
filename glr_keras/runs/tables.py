"""CSV files whose rows are objects of a dataclass: its fields are the columns."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, fields
from itertools import islice
from pathlib import Path
from typing import Any

from tfrecords.common.console import UserError
from tfrecords.common.files import write_csv


def write_rows(path: Path, row_class: Any, rows: Iterable) -> None:
    """Writes a line per object, atomically."""
    write_csv(path, [field.name for field in fields(row_class)], map(astuple, rows))


def read_rows(
    path: Path, row_class: Any, remedy: str, count: int | None = None
) -> list[Any] | None:
    """Reads what `write_rows` wrote.

    Args:
        path: Of the file.
        row_class: A dataclass of texts and numbers.
        remedy: What to do about a damaged file, a sentence for the message.
        count: Int, how many rows at most; None for all.

    Returns:
        Objects of `row_class`; None where there is no file.

    Raises:
        UserError: it is no such table.
    """
    types: dict[str, Any] = {field.name: field.type for field in fields(row_class)}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = islice(csv.DictReader(file), count)
            return [row_class(*(kind(row[name]) for name, kind in types.items())) for row in rows]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path} can't be read as a table of {', '.join(types)} ({error}). {remedy}"
        ) from error
