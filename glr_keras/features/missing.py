"""Which blocks of views must be written, and how one is put together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from tqdm import tqdm

from glr_keras.features.reuse import StoredRows
from glr_keras.features.store import FeatureViews
from glr_keras.features.view_files import BLOCK, DTYPE, ViewFile
from tfrecords.common.console import UserError
from tfrecords.common.files import warn_corrupted

MANY_BYTES = 2**30  # to check; fewer take no second and need no progress bar
ROUNDED_TO_INFINITY = 65520  # by float16; from here on
WRONG_WEIGHTS = "Are these the right weights for this backbone?"


@dataclass(frozen=True)
class Missing:
    """Blocks of a view that must be written.

    Attributes:
        blocks: Their numbers, ascending.
        stored: Rows of the view that are read from elsewhere.
    """

    split: str
    view: int | None
    file: ViewFile
    blocks: list[int]
    stored: StoredRows

    @property
    def nbytes(self):
        return sum(map(self.file.block_bytes, self.blocks))

    def rows_of(self, block: int) -> np.ndarray:
        return np.arange(block * BLOCK, min((block + 1) * BLOCK, self.file.shape[0]))

    @cached_property
    def rows(self) -> np.ndarray:
        """Numbers of the photos of all blocks."""
        return np.concatenate([self.rows_of(block) for block in self.blocks])

    @cached_property
    def rows_to_compute(self) -> np.ndarray:
        return self.rows[~self.stored.has(self.rows)]

    def write(self, block: int, computed: np.ndarray, features: np.ndarray) -> int:
        """Writes a block; returns its number of photos.

        Args:
            block: Its number.
            computed: Numbers of those of its photos that were computed; the others were stored.
            features: Of these.
        """
        rows, data = self.rows_of(block), to_float16(features, WRONG_WEIGHTS)
        if len(computed) < len(rows):
            whole = np.empty((len(rows), *self.file.shape[1:]), DTYPE)
            is_computed = np.isin(rows, computed)
            whole[is_computed] = data
            whole[~is_computed] = self.stored.rows(rows[~is_computed])
            data = whole
        self.file.write_block(block, data)
        return len(rows)


def find_missing(views: Iterable[FeatureViews]) -> list[Missing]:
    """Reads all features that there are; names those that are damaged."""
    found = []
    total = sum(file.nbytes for one in views for file in one.files.values())
    with tqdm(
        total=total,
        desc="Checking features",
        unit="B",
        unit_scale=True,
        disable=total < MANY_BYTES,
    ) as bar:
        for one in views:
            for view, file in one.files.items():
                missing, damaged = file.check(bar)
                if damaged:
                    remedy = f"{len(damaged)} of {file.num_blocks} blocks are computed again"
                    warn_corrupted(file.path, remedy)
                if missing:
                    nothing = StoredRows(file.shape[0])
                    found.append(Missing(one.split, view, file, missing, nothing))
    return found


def to_float16(features: np.ndarray, remedy: str) -> np.ndarray:
    """Rounds features as they are stored.

    Raises:
        UserError: one is too large; `remedy` says what to do.
    """
    largest = float(np.abs(features).max(initial=0))
    if not largest < ROUNDED_TO_INFINITY:
        raise UserError(f"Features up to {largest:g} do not fit float16 (65504). {remedy}")
    return keras.ops.convert_to_numpy(keras.ops.cast(features, "float16"))  # numpy's takes longer
