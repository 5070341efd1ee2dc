"""CSV files of paths of photos and names of landmarks: `filename,label`. No TensorFlow here."""

import sys
import unicodedata
from collections.abc import Callable, Iterator

from tfrecords.common.types import one_line
from tfrecords.sources.csv_table import FILE_COLUMNS, LABEL_COLUMNS, LONGEST_FIELD, Table, shown
from tfrecords.sources.photo_paths import clean_path


def lists_files(table: Table) -> bool:
    """Whether a table has a column of paths and one of labels, and is not of Google Landmarks."""
    if "landmark_id" in table.header and {"id", "images"} & set(table.header):
        return False
    return None not in _columns(table)


def rows_of_files(table: Table, skip: Callable) -> Iterator[tuple[int, str, str, str]]:
    """Yields (line, photo_id, landmark_id, location); the id is the path, the landmark its label.

    Args:
        table: For which `lists_files` holds.
        skip: Called with a line and what is wrong with it, and perhaps the path and a reason.
    """
    file_column, label_column = _columns(table)
    for line, row in table.rows(LONGEST_FIELD, skip):
        path = clean_path(row[file_column])
        label = one_line(unicodedata.normalize("NFC", row[label_column].strip()))
        if not path:
            problem = f'expected a path below the photo folder, got "{shown(row[file_column])}"'
            skip(line, problem, row[file_column], "unsafe name")
        elif not label:
            skip(line, "expected the name of a landmark, got nothing", path)
        else:
            yield line, path, sys.intern(label), path


def _columns(table):
    """Returns the places of the two columns, None for one that is missing."""
    names = [name.lower() for name in table.header]
    places = []
    for columns in (FILE_COLUMNS, LABEL_COLUMNS):
        found = [name for name in columns if name in names]
        places.append(names.index(found[0]) if found else None)
    return places
