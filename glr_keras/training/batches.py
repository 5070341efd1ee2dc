"""Batches for training and measuring: stored features, or photos for the live backbone.

A batch of training depends on the seed and its number only, and is the same photos in the same
views from either source: so training can resume at any step, and both give the same numbers.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Protocol

import numpy as np
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.data.random_access import RandomAccess, parse_record
from glr_keras.data.records import (
    Records,
    decode_photo,
    photo_batches,
    photo_index,
    without_autotune,
)
from glr_keras.data.views import make_view
from glr_keras.features.store import FeatureViews
from tfrecords.common.console import UserError
from tfrecords.common.parallel import available_cores

EVAL_BATCH = 256  # photos' features; only speed and memory depend on it
LIVE_EVAL_BATCH = 32  # photos through the backbone


class Source(Protocol):
    """Where a model's inputs come from."""

    def index(self, split: str) -> tuple[np.ndarray, Sequence[str]]:
        """Returns labels, int64 `(photos,)`, and photo ids of a split, in the order of records."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch of training."""

    def train_batches(self, first_step: int) -> tf.data.Dataset:
        """Yields the batches of all epochs from step `first_step` on.

        Each epoch has its own shuffled order; epoch e shows view e modulo the number of views.

        Returns:
            Dataset of (inputs, dict of labels `(batch,)`[, dict of weights `(batch,)`]); the last
            batch of an epoch may be smaller.
        """

    def eval_batches(self, split: str) -> tf.data.Dataset:
        """Yields (inputs, dict of labels) of every photo of a split once, in order."""

    def reraise_user_errors(self) -> AbstractContextManager[None]:
        """Ends a block that reads batches with the `UserError` that made TensorFlow fail."""


def steps_per_epoch(photos: int, batch_size: int) -> int:
    """Returns the number of batches that hold all photos, the last perhaps smaller."""
    return math.ceil(photos / batch_size)


def label_weights(labels: np.ndarray, num_landmarks: int, balance: float) -> np.ndarray:
    """Returns how much a photo of each landmark counts, float32 `(num_landmarks,)`.

    Proportional to (photos of the landmark) ** -balance, and 1 on average over the photos, so that
    the scale of the loss stays. A landmark without a photo counts 0.
    """
    counts = np.bincount(labels, minlength=num_landmarks).astype(np.float64)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -balance, 0)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


class EpochShuffler:
    """Which photos each step of training shows.

    Args:
        photos: Int, photos of the train split.
        config: FitConfig; its seed and batch_size.
        devices: As for `StoredFeatures`.
    """

    def __init__(self, photos: int, config: FitConfig, devices: int = 1):
        self._photos, self._seed, self._batch_size = photos, config.seed, config.batch_size
        self._shown = photos // devices * devices
        self.steps_per_epoch = steps_per_epoch(self._shown, config.batch_size)
        self.rows_of_epoch = functools.lru_cache(maxsize=2)(self._draw)

    def rows_of_step(self, step: int) -> tuple[int, np.ndarray]:
        """Returns the epoch of a step, and the numbers of its photos: int64 `(batch,)`."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        start = batch * self._batch_size
        return epoch, self.rows_of_epoch(epoch)[start : start + self._batch_size]

    def _draw(self, epoch):
        order = np.random.default_rng([self._seed, epoch]).permutation(self._photos)
        return order[: self._shown]


class UserErrorRelay:
    """Brings a `UserError` of a function that tf.data calls out of TensorFlow, which hides it.

    So would `keras.utils.PyDataset`, which on TensorFlow is read by tf.data as well.
    """

    def __init__(self):
        self._error = None

    @contextmanager
    def reraise_user_errors(self) -> Iterator[None]:
        """Ends the block with that error, where TensorFlow fails because of it."""
        try:
            yield
        except tf.errors.OpError as error:
            raise self._error or error from None

    def _relay(self, read):
        def read_and_keep_error(*arguments):
            try:
                return read(*arguments)
            except UserError as error:
                self._error = self._error or error
                raise

        return read_and_keep_error


class StoredFeatures(UserErrorRelay):
    """Batches of features `(batch, height, width, channels)`, float16, read from disk.

    Args:
        views: Split -> its `FeatureViews`.
        outputs: Names of the head's outputs; each gets the labels.
        num_landmarks: Int.
        config: FitConfig; its seed, batch_size, epochs and balance.
        devices: Int that divides the batch size. An epoch then leaves out the photos, fewer than
            that, which would make its last batch one that the devices can't split evenly.
    """

    def __init__(
        self,
        views: dict[str, FeatureViews],
        outputs: Sequence[str],
        num_landmarks: int,
        config: FitConfig,
        devices: int = 1,
    ):
        super().__init__()
        self._views, self._outputs, self._config = views, outputs, config
        self.num_landmarks = num_landmarks
        self._order = EpochShuffler(len(views["train"]), config, devices)
        self._weights = _weights_of(views["train"].labels, num_landmarks, config)

    @property
    def steps_per_epoch(self):
        return self._order.steps_per_epoch

    def index(self, split):
        return self._views[split].labels, self._views[split].photo_ids

    def train_batches(self, first_step):
        views, config = self._views["train"], self._config
        files = list(views.files.values())

        def read(step):
            epoch, rows = self._order.rows_of_step(int(step))
            return files[epoch % len(files)].rows(rows), views.labels[rows]

        numbers = tf.data.Dataset.range(first_step, config.epochs * self.steps_per_epoch)
        return self._read_batches(numbers, read, views.shape, self._weights)

    def eval_batches(self, split):
        views = self._views[split]
        (file,) = views.files.values()

        def read(step):
            rows = np.arange(len(views))[int(step) * EVAL_BATCH : (int(step) + 1) * EVAL_BATCH]
            return file.rows(rows), views.labels[rows]

        numbers = tf.data.Dataset.range(steps_per_epoch(len(views), EVAL_BATCH))
        return self._read_batches(numbers, read, views.shape, None)

    def train_views(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields features and labels of all training photos in the first view, then the next."""
        yield from self._read_in_order("train")

    def validation_views(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields features and labels of all validation photos."""
        yield from self._read_in_order("validation")

    def _read_in_order(self, split):
        views = self._views[split]
        for file in views.files.values():
            for start in range(0, len(views), EVAL_BATCH):
                rows = np.arange(start, min(start + EVAL_BATCH, len(views)))
                yield file.rows(rows), views.labels[rows]

    def _read_batches(self, numbers, read, shape, weights):
        def load(step):
            features, labels = tf.numpy_function(self._relay(read), [step], [tf.float16, tf.int64])
            features.set_shape([None, *shape])
            labels.set_shape([None])
            return features, *_targets(labels, self._outputs, weights)

        batches = numbers.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
        return without_autotune(batches)


class LivePhotos(UserErrorRelay):
    """Batches of photos `(batch, image_size, image_size, 3)`, float32, decoded as they are needed.

    Args:
        records: From `data.open_records`.
        outputs, num_landmarks, devices: As for `StoredFeatures`.
        config: The same, and the settings of the views.
    """

    def __init__(
        self,
        records: Records,
        outputs: Sequence[str],
        num_landmarks: int,
        config: FitConfig,
        devices: int = 1,
    ):
        super().__init__()
        self._records, self._outputs, self._config = records, outputs, config
        self._num_landmarks = num_landmarks
        self._order = EpochShuffler(records.num_photos("train"), config, devices)
        self._indices: dict[str, tuple[np.ndarray, list[str]]] = {}

    @property
    def steps_per_epoch(self):
        return self._order.steps_per_epoch

    def index(self, split):
        if split not in self._indices:
            self._indices[split] = photo_index(self._records, split)
        return self._indices[split]

    @cached_property
    def _weights(self):
        return _weights_of(self.index("train")[0], self._num_landmarks, self._config)

    def train_batches(self, first_step):
        config = self._config
        first_epoch, first_batch = divmod(first_step, self.steps_per_epoch)
        reader = RandomAccess(self._records, "train")
        weights = self._weights  # read here: the functions below are traced, where nothing can be

        def rows_of_epoch(epoch):
            start = first_batch * config.batch_size if epoch == first_epoch else 0
            return self._order.rows_of_epoch(int(epoch))[start:]

        def show_epoch(epoch):
            (rows,) = tf.numpy_function(rows_of_epoch, [epoch], [tf.int64])
            rows.set_shape([None])
            view = epoch % config.num_views
            rows = tf.data.Dataset.from_tensor_slices(rows)
            return rows.map(
                lambda row: show(row, view),
                num_parallel_calls=available_cores(),
                deterministic=True,
            ).batch(config.batch_size)

        def show(row, view):
            (data,) = tf.numpy_function(self._relay(reader.read), [row], [tf.string])
            data.set_shape([])
            record = parse_record(data)
            photo = make_view(decode_photo(record), record["photo_id"], view, config)
            return photo, *_targets(record["label"], self._outputs, weights)

        epochs = tf.data.Dataset.range(first_epoch, config.epochs)
        return without_autotune(epochs.flat_map(show_epoch).prefetch(2))

    def eval_batches(self, split):
        batches = photo_batches(
            self._records, split, self._config.image_size, self._config.framing, LIVE_EVAL_BATCH
        )
        return batches.map(
            lambda batch: (batch["photo"], *_targets(batch["label"], self._outputs, None))
        )


def _weights_of(labels, num_landmarks, config):
    return label_weights(labels, num_landmarks, config.balance) if config.balance else None


def _targets(labels, outputs, weights):
    """Returns what Keras takes besides inputs: labels, and weights of the photos if there are."""
    targets = [dict.fromkeys(outputs, labels)]
    if weights is not None:
        targets.append(dict.fromkeys(outputs, tf.gather(weights, labels)))
    return targets
