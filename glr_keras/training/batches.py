"""Batches for training and measuring: stored features, or photos for the live backbone.

A batch of training depends on the seed and its number only, and is the same photos in the same
views from either source: so training can resume at any step, and both give the same numbers.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

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
from glr_keras.data.tracing import as_written
from glr_keras.data.views import make_view
from glr_keras.features.store import FeatureViews, row_batches
from glr_keras.training.mixup import mix_batches
from tfrecords.common.console import UserError
from tfrecords.common.parallel import available_cores

LIVE_EVAL_BATCH = 32  # photos through the backbone


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


class Source:
    """Where a model's inputs come from: `StoredFeatures` or `LivePhotos`.

    tf.data calls functions of a source. Where TensorFlow hides the `UserError` that one of them has
    raised, `reraise_user_errors` brings it out; `keras.utils.PyDataset` is read by tf.data as well.

    Args:
        outputs: Names of the head's outputs; each gets the labels.
        num_landmarks: Int.
        config: FitConfig; its seed, batch_size, epochs and balance.
        photos: Int, photos of the train split.
        devices: Int that divides the batch size. An epoch then leaves out the last photos that
            they can't split evenly.
    """

    def __init__(
        self,
        outputs: Sequence[str],
        num_landmarks: int,
        config: FitConfig,
        photos: int,
        devices: int,
    ):
        self.num_landmarks = num_landmarks
        self._outputs, self._config = outputs, config
        self._order = EpochShuffler(photos, config, devices)
        self._error = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch of training."""
        return self._order.steps_per_epoch

    def index(self, split: str) -> tuple[np.ndarray, Sequence[str]]:
        """Returns labels, int64 `(photos,)`, and photo ids of a split, in the order of records."""
        raise NotImplementedError

    def train_batches(self, first_step: int) -> tf.data.Dataset:
        """Yields the batches of all epochs from step `first_step` on, as `mix_batches` does.

        Each epoch has its own shuffled order; epoch e shows view e modulo the number of views. Its
        last batch may be smaller.
        """
        batches = self._unmixed_batches(first_step)
        return mix_batches(batches, first_step, self._config, self.num_landmarks)

    def _unmixed_batches(self, first_step) -> tf.data.Dataset:
        raise NotImplementedError

    def eval_batches(self, split: str) -> tf.data.Dataset:
        """Yields (inputs, dict of labels) of every photo of a split once, in order."""
        raise NotImplementedError

    @contextmanager
    def reraise_user_errors(self) -> Iterator[None]:
        """Ends a block that reads batches with the `UserError` that made TensorFlow fail."""
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

    @cached_property
    def _weights(self):
        balance = self._config.balance
        labels = self.index("train")[0] if balance else None
        return label_weights(labels, self.num_landmarks, balance) if balance else None

    def _targets(self, labels, weights):
        """Returns what Keras takes besides inputs: labels, and photos' weights if there are."""
        targets = [dict.fromkeys(self._outputs, labels)]
        if weights is not None:
            targets.append(dict.fromkeys(self._outputs, tf.gather(weights, labels)))
        return targets


class StoredFeatures(Source):
    """Batches of features `(batch, height, width, channels)`, float16, read from disk.

    Args:
        views: Split -> its `FeatureViews`.
        outputs, num_landmarks, config, devices: See `Source`.
    """

    def __init__(
        self,
        views: dict[str, FeatureViews],
        outputs: Sequence[str],
        num_landmarks: int,
        config: FitConfig,
        devices: int = 1,
    ):
        super().__init__(outputs, num_landmarks, config, len(views["train"]), devices)
        self.views = views

    def index(self, split):
        return self.views[split].labels, self.views[split].photo_ids

    def _unmixed_batches(self, first_step):
        views, config = self.views["train"], self._config
        files = list(views.files.values())

        def read(step):
            epoch, rows = self._order.rows_of_step(int(step))
            return files[epoch % len(files)].rows(rows), views.labels[rows]

        numbers = tf.data.Dataset.range(first_step, config.epochs * self.steps_per_epoch)
        return self._read_batches(numbers, read, views.shape, self._weights)

    def eval_batches(self, split):
        views = self.views[split]
        (file,) = views.files.values()
        batches = row_batches(len(views))

        def read(number):
            rows = batches[int(number)]
            return file.rows(rows), views.labels[rows]

        numbers = tf.data.Dataset.range(len(batches))
        return self._read_batches(numbers, read, views.shape, None)

    def in_order(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields features and labels of all photos of a split in the first view, then the next."""
        return self.views[split].in_order()

    def _read_batches(self, numbers, read, shape, weights):
        @as_written
        def load(step):
            features, labels = tf.numpy_function(self._relay(read), [step], [tf.float16, tf.int64])
            features.set_shape([None, *shape])
            labels.set_shape([None])
            return features, *self._targets(labels, weights)

        batches = numbers.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
        return without_autotune(batches)


class LivePhotos(Source):
    """Batches of photos `(batch, image_size, image_size, 3)`, float32, decoded as they are needed.

    Args:
        records: From `data.open_records`.
        outputs, num_landmarks, devices: See `Source`.
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
        super().__init__(outputs, num_landmarks, config, records.num_photos("train"), devices)
        self._records = records
        self._indices: dict[str, tuple[np.ndarray, list[str]]] = {}

    def index(self, split):
        if split not in self._indices:
            self._indices[split] = photo_index(self._records, split)
        return self._indices[split]

    def _unmixed_batches(self, first_step):
        config = self._config
        first_epoch, first_batch = divmod(first_step, self.steps_per_epoch)
        reader = RandomAccess(self._records, "train")
        weights = self._weights  # read here: the functions below are traced, where nothing can be

        def rows_of_epoch(epoch):
            start = first_batch * config.batch_size if epoch == first_epoch else 0
            return self._order.rows_of_epoch(int(epoch))[start:]

        @as_written
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
            return photo, *self._targets(record["label"], weights)

        epochs = tf.data.Dataset.range(first_epoch, config.epochs)
        return without_autotune(epochs.flat_map(show_epoch).prefetch(2))

    def eval_batches(self, split):
        batches = photo_batches(
            self._records, split, self._config.image_size, self._config.framing, LIVE_EVAL_BATCH
        )

        @as_written
        def with_targets(batch):
            return batch["photo"], *self._targets(batch["label"], None)

        return batches.map(with_targets)
