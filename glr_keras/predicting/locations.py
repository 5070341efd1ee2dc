"""Where landmarks are, from a table with their names, latitudes and longitudes. No TensorFlow."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

from glr_keras.inference.model_dir import data_dir_of
from tfrecords.common.console import UserError

COLUMNS = ("name", "latitude", "longitude")
LIMITS = (90.0, 180.0)  # degrees


class Location(NamedTuple):
    """Degrees, WGS 84: north and east are positive."""

    latitude: float
    longitude: float


def locations_of(model: Path, table: Path | None = None) -> dict[str, Location]:
    """Returns the location of each landmark that has one, by name.

    Args:
        model: Run or export; the `landmarks.csv` of a run's records counts where there is no
            `table`, and has locations only where somebody has added them.
        table: CSV with the columns name, latitude and longitude, of which cells may be empty.

    Raises:
        UserError: `table` can't be read or lacks a column; a cell is no such number.
    """
    if table is not None:
        return _read(table)
    if not (model / "config.json").is_file():
        return {}
    found = data_dir_of(model) / "landmarks.csv"
    return _read(found, is_required=False) if found.is_file() else {}


def _read(path, is_required=True):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                if is_required:
                    found = ", ".join(reader.fieldnames or ["none"])
                    raise UserError(
                        f"{path}: expected the columns {', '.join(COLUMNS)}, got {found}."
                    )
                return {}
            return {
                row["name"]: _location(row, path, reader.line_num)
                for row in reader
                if row["latitude"] and row["longitude"]
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} can't be read as a table: {reason}.") from error


def _location(row, path, line):
    try:
        degrees = [float(row[name]) for name in COLUMNS[1:]]
    except ValueError:
        degrees = [math.nan]
    if not all(abs(one) <= limit for one, limit in zip(degrees, LIMITS, strict=False)):
        raise UserError(
            f"{path}, line {line}: expected degrees within 90 north or south and 180 east or west, "
            f"got {row['latitude']!r}, {row['longitude']!r}."
        )
    return Location(*degrees)
