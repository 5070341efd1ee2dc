"""The tables that lie beside records: their names, and how all packages read them."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfrecords.common.console import UserError, command_line

LANDMARKS = "landmarks.csv"
SKIPPED = "skipped.csv"
SOURCES = "sources.csv"  # hashes of the files that the records were made of


def read_table(path: Path, parse: Callable[[dict[str, str]], Any] = dict) -> Iterator[Any]:
    """Reads a table that lies beside shards, row by row.

    Args:
        path: Of the table.
        parse: Makes something of a row, a dict from column to text.

    Yields:
        What `parse` returns, of each row.

    Raises:
        UserError: it is damaged; so it is where `parse` ends with a KeyError, TypeError or
            ValueError.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            yield from map(parse, csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        command = command_line("tfrecords.check", path.parent)
        raise UserError(
            f"{path} can't be read ({error}). See what is wrong with: {command}"
        ) from error
