"""A file of arrays, in order: written and read without a copy of all of them in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
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
    """Writes `arrays` atomically, each from the memory that it lies in."""
    named = {f"{number:06}": np.asarray(array, order="C") for number, array in enumerate(arrays)}
    with atomic_path(path) as temporary:
        save_file(named, temporary)


def load_arrays(path: Path) -> list[StoredArray]:
    """Finds the arrays of a file that `save_arrays` wrote; reads none of their values.

    Raises:
        OSError: the file is not there or can't be read.
        safetensors.SafetensorError: it is empty, truncated or another kind of file.
    """
    with safe_open(path, "numpy") as file:
        return [
            StoredArray(path, name, tuple(file.get_slice(name).get_shape()))
            for name in sorted(file.keys())
        ]
