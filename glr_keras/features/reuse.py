"""Features of the same photos that lie with other records.

When a data set grows, only the views of its new photos are computed.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from glr_keras.data.records import Records, open_records, photo_hashes
from glr_keras.features.store import FeatureFolder
from glr_keras.features.view_files import BLOCK, DTYPE
from tfrecords.common.console import UserError

OF_RECORDS = ("split", "records")  # what of a key does not change how a view of a photo looks


class ViewRows(Protocol):
    """What rows of a view can be read from: a `ViewFile`, or what makes them of another one."""

    shape: tuple[int, ...]

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """Returns float16 `(len(numbers), height, width, channels)`."""
        ...


class StoredRows:
    """Which rows of one view can be read from elsewhere, and from where.

    Args:
        photos: Int, rows of the view.
    """

    def __init__(self, photos: int):
        self._files: list[ViewRows] = []
        self._file_of = np.full(photos, -1, np.int32)
        self._row_of = np.zeros(photos, np.int64)

    def add(self, file: ViewRows, rows: np.ndarray, rows_there: np.ndarray) -> None:
        """Adds rows that `file` holds; those found before stay where they were found."""
        is_new = self._file_of[rows] < 0
        self._file_of[rows[is_new]] = len(self._files)
        self._row_of[rows[is_new]] = rows_there[is_new]
        self._files.append(file)

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Returns a bool for each of `rows`: whether it was found."""
        return self._file_of[rows] >= 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(photos, height, width, channels), once a file was added."""
        return (len(self._file_of), *self._files[0].shape[1:])

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns float16 `(len(rows), height, width, channels)`; all of `rows` were found."""
        out = np.empty((len(rows), *self.shape[1:]), DTYPE)
        for number in np.unique(self._file_of[rows]):
            chosen = self._file_of[rows] == number
            out[chosen] = self._files[number].rows(self._row_of[rows[chosen]])
        return out


class StoredElsewhere:
    """Folders of views that were made in the same way from other records, and hold the same photos.

    Photos are the same where ids and bytes are.

    Args:
        folder: Of the views that are wanted; its photos' hashes are kept in it.
        records: From `data.open_records`. Its other features, and those of the data sets beside it,
            are looked through.
    """

    def __init__(self, folder: FeatureFolder, records: Records):
        hashes = folder.load_photo_hashes()
        if hashes is None:
            hashes = photo_hashes(records, folder.key["split"])
            folder.save_photo_hashes(hashes)
        self._photos = len(hashes)
        places = {one: row for row, one in enumerate(hashes)}
        self._others = []  # folder, its photos, rows here, rows there
        for other in _folders_alike(folder, records.data_dir):
            found = _hashes_of(other)
            pairs = [(places[one], row) for row, one in enumerate(found) if one in places]
            if pairs:
                self._others.append((other, len(found), *np.array(pairs, np.int64).T))

    def rows(self, view: int | None, shape: tuple[int, int, int]) -> StoredRows:
        """Finds the rows of one view that fit their checksums.

        Args:
            view: Its number; None for the eval view.
            shape: `(height, width, channels)` of one photo's features.
        """
        stored = StoredRows(self._photos)
        for other, photos, rows, rows_there in self._others:
            file = other.view(view, (photos, *shape))
            with tqdm(disable=True) as bar:
                missing, _ = file.check(bar)
            is_there = ~np.isin(rows_there // BLOCK, missing)
            stored.add(file, rows[is_there], rows_there[is_there])
        return stored


def _folders_alike(folder: FeatureFolder, data_dir: Path) -> Iterator[FeatureFolder]:
    """Yields the other folders whose key differs from this one's in the records only."""
    beside = sorted(data_dir.resolve().parent.glob("*/features"))
    parents = dict.fromkeys(path.resolve() for path in (folder.parent, *beside))
    for parent in parents:
        for path in sorted(parent.glob("*/manifest.json")):
            try:
                key = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if not isinstance(key, dict) or _without_records(key) != _without_records(folder.key):
                continue
            other = FeatureFolder(parent, key)
            if other.path == path.parent != folder.path.resolve():
                yield other


def _without_records(key):
    return {name: value for name, value in key.items() if name not in OF_RECORDS}


def _hashes_of(folder):
    """Returns the hashes of a folder's photos; those of an earlier version are in its records."""
    hashes = folder.load_photo_hashes()
    if hashes is None:
        try:
            records = open_records(folder.parent.parent)
            if records.fingerprint == folder.key["records"]:
                return photo_hashes(records, folder.key["split"])
        except UserError:
            pass  # features by themselves, or records that were built anew: nothing is known
    return hashes or []
