"""A file of arrays, .npy after .npy: written and read without a copy of all of them in memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PIECE_BYTES = 2**25


@dataclass(frozen=True)
class StoredArray:
    """One array of such a file.

    Attributes:
        path: The file.
        offset: Int, where the array's values begin, in bytes.
        dtype, shape: Of the array.
    """

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def read(self) -> np.ndarray:
        return self._read(0, int(np.prod(self.shape))).reshape(self.shape)

    def pieces(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields successive rows of the array, and where they belong along its first axis."""
        row = int(np.prod(self.shape[1:]))
        rows = max(1, PIECE_BYTES // (row * self.dtype.itemsize))
        for start in range(0, self.shape[0], rows):
            stop = min(start + rows, self.shape[0])
            values = self._read(start * row, (stop - start) * row)
            yield slice(start, stop), values.reshape(-1, *self.shape[1:])

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def _read(self, start, count):
        offset = self.offset + start * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, count, offset=offset)


def save_arrays(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Writes `arrays`, one at a time, under a temporary name that becomes `path` at the end."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        for array in arrays:
            np.save(file, array)
    os.replace(temporary, path)


def load_arrays(path: Path) -> list[StoredArray]:
    """Finds the arrays of a file that `save_arrays` wrote; reads none of their values."""
    found = []
    size = path.stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            found.append(StoredArray(path, file.tell(), dtype, shape))
            file.seek(found[-1].nbytes, os.SEEK_CUR)
    return found
