"""A file of arrays, in order: written and read without a copy of all of them in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tfrecords.common.files import atomic_path

PIECE_BYTES = 2**25


@dataclass(frozen=True)
class StoredArray:
    """One array of such a file.

    Attributes:
        path: The file.
        name: Its key there.
        shape: Of the array.
    """

    path: Path
    name: str
    shape: tuple[int, ...]

    def read(self) -> np.ndarray:
        with safe_open(self.path, "numpy") as file:
            return file.get_tensor(self.name)

    def checksum(self) -> str:
        """Returns what `save_arrays` stores of the array's shape, type and values."""
        is_small = not self.shape or np.prod(self.shape) * 8 <= PIECE_BYTES
        pieces = [self.read()] if is_small else (piece for _, piece in self.pieces())
        return _checksum(self.shape, pieces)

    def pieces(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields successive rows of the array, and where they belong along its first axis."""
        with safe_open(self.path, "numpy") as file:
            array = file.get_slice(self.name)
            row_bytes = 8 * int(np.prod(self.shape[1:]))  # at most: no type here is wider
            rows = max(1, PIECE_BYTES // max(1, row_bytes))
            for start in range(0, self.shape[0], rows):
                stop = min(start + rows, self.shape[0])
                yield slice(start, stop), array[start:stop]


def save_arrays(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Writes `arrays` and their checksums atomically, each from the memory that it lies in."""
    named = {f"{number:06}": np.asarray(array, order="C") for number, array in enumerate(arrays)}
    checksums = {name: _checksum(array.shape, [array]) for name, array in named.items()}
    with atomic_path(path) as temporary:
        save_file(named, temporary, checksums)


def load_arrays(path: Path) -> list[StoredArray]:
    """Finds the arrays of a file that `save_arrays` wrote; no more than a piece is in memory.

    Raises:
        OSError: the file is not there or can't be read.
        safetensors.SafetensorError: it is empty, truncated, another kind of file, or an array does
            not fit its checksum (a file of an earlier version has none).
    """
    with safe_open(path, "numpy") as file:
        checksums = file.metadata()
        arrays = [
            StoredArray(path, name, tuple(file.get_slice(name).get_shape()))
            for name in sorted(file.keys())
        ]
    if checksums is not None:
        damaged = [one.name for one in arrays if one.checksum() != checksums.get(one.name)]
        if damaged or len(arrays) != len(checksums):
            raise SafetensorError(f"{len(damaged)} arrays do not fit their checksums")
    return arrays


def _checksum(shape, pieces):
    """Returns the checksum of shape, type and values, as text; `pieces` are rows in order."""
    checksum = None
    for piece in pieces:
        if checksum is None:
            checksum = google_crc32c.value(f"{piece.dtype} {tuple(shape)}".encode())
        data = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE_BYTES):
            checksum = google_crc32c.extend(checksum, data[start : start + PIECE_BYTES].tobytes())
    return str(checksum)
