"""Computes missing views: the frozen backbone over photos, while others are decoded and written."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import keras
import numpy as np
from tqdm import tqdm

from glr_keras.config import FitConfig
from glr_keras.data.records import Records, view_batches
from glr_keras.features.missing import Missing
from glr_keras.features.view_files import BLOCK, DTYPE
from tfrecords.common.console import UserError, command_line

MAX_PENDING = 4  # blocks that wait to be written: bounds the memory
VIEWS_AT_ONCE = 4  # that are made of a photo once it is decoded; their batches are in memory


def compute_missing(
    missing: Sequence[Missing], records: Records, backbone: keras.Model, config: FitConfig
) -> None:
    """Writes all that is missing, with a progress bar for each split.

    Args:
        missing: Successive ones of a split stand together.
        records, backbone, config: As in `extraction.feature_views`.
    """
    for split, group in groupby(missing, key=lambda one: one.split):
        ones = list(group)
        there = sum(one.file.shape[0] - len(one.rows) for one in ones)
        total = sum(one.file.shape[0] for one in ones)
        with tqdm(total=total, initial=there, desc=f"Features of {split}", unit=" photos") as bar:
            for one in ones:
                _copy_blocks(one, bar)
            for rows, views in _passes(ones):
                _extract(split, rows, views, records, backbone, config, bar)


def _copy_blocks(one, bar):
    """Writes the blocks of which all rows are read from elsewhere."""
    nothing = one.rows_to_compute[:0], np.empty((0, *one.file.shape[1:]), DTYPE)
    for block in np.setdiff1d(one.blocks, one.rows_to_compute // BLOCK).tolist():
        bar.update(one.write(block, *nothing))


def _passes(missing: list[Missing]) -> Iterator[tuple[np.ndarray, list[Missing]]]:
    """Yields rows with views that miss these, so that a photo is decoded once for several views."""
    views_of_rows: dict[bytes, list[Missing]] = {}
    for one in missing:
        if len(one.rows_to_compute):
            views_of_rows.setdefault(one.rows_to_compute.tobytes(), []).append(one)
    for ones in views_of_rows.values():
        for start in range(0, len(ones), VIEWS_AT_ONCE):
            yield ones[0].rows_to_compute, ones[start : start + VIEWS_AT_ONCE]


def _extract(split, rows, missing, records, backbone, config, bar):
    """Computes views while the blocks before are written and the photos after them decoded."""
    views = [one.view for one in missing]
    builders = [_BlockBuilder(rows) for _ in missing]
    pending = deque()
    with ThreadPoolExecutor(1) as writer:
        for batch in _batches(records, split, views, rows, config):
            for one, builder, photos in zip(missing, builders, batch, strict=True):
                for block in builder.add(compute_block(backbone, photos)):
                    pending.append(writer.submit(one.write, *block))
                    if len(pending) > MAX_PENDING:
                        bar.update(pending.popleft().result())
        for last in pending:
            bar.update(last.result())


def _batches(records, split, views, rows, config):
    """Yields all photos to compute, `BLOCK` at a time: a tuple with an array for each view."""
    found = 0
    for batch in view_batches(records, split, views, rows, config, BLOCK).as_numpy_iterator():
        found += len(batch[0])
        yield batch
    if found < len(rows):
        command = command_line("tfrecords.check", records.data_dir)
        raise UserError(
            f"{split}: the records end before photo {rows[-1] + 1}. See what is wrong with: "
            f"{command}"
        )


def compute_block(network: keras.Model, photos: np.ndarray) -> np.ndarray:
    """Calls a network on a batch that is filled up with empty photos, so always as large.

    What is stored of a photo, in float16, then depends neither on its place nor on the photos
    beside it; a batch of a single photo is computed otherwise (docs/features.md).
    """
    count = len(photos)
    if count < BLOCK:
        photos = np.concatenate(
            [photos, np.zeros((BLOCK - count, *photos.shape[1:]), photos.dtype)]
        )
    return network.predict_on_batch(photos)[:count]


class _BlockBuilder:
    """Gathers computed rows of a view until all of a block are there.

    Args:
        rows: Numbers of all photos to compute, ascending.
    """

    def __init__(self, rows: np.ndarray):
        self._rows = rows
        self._first = self._end = 0  # of the rows that wait for others of their block
        self._waiting: np.ndarray | None = None

    def add(self, features: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Takes the features of the next rows; yields block, rows and features where complete."""
        if self._first < self._end:
            features = np.concatenate([self._waiting, features])
        self._end = self._first + len(features)
        rows = self._rows[self._first : self._end]
        following = self._rows[self._end] // BLOCK if self._end < len(self._rows) else None
        for block in np.unique(rows // BLOCK).tolist():
            if block != following:
                of_block = rows // BLOCK == block
                self._first += int(of_block.sum())
                yield block, rows[of_block], features[of_block]
        self._waiting = features[len(features) - (self._end - self._first) :]
