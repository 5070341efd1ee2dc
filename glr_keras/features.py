"""FeatureViews: what the frozen backbone says of every photo, computed once and kept on disk."""

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from glr_keras.backbones import choose_precision
from glr_keras.config import FitConfig
from glr_keras.data import Records, photo_batches, photo_index, without_autotune
from tfrecords.console import UserError

FORMAT = 1  # of the files below; another number is another folder
EXTRACT_BATCH = 32  # photos per call of the backbone
SAVE_EVERY = 8  # batches between two notes in the journal: some 20 s of VGG16 on two cores


@dataclasses.dataclass(frozen=True)
class FeatureViews:
    """Features of one split, read from disk as they are needed.

    Attributes:
        arrays: One float16 memory map `(photos, height, width, channels)` per view.
        labels: int64 array `(photos,)`.
        photo_ids: Strings, in the same order.
    """

    arrays: Sequence[np.ndarray]
    labels: np.ndarray
    photo_ids: Sequence[str]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one photo's features."""
        return self.arrays[0].shape[1:]

    def __len__(self):
        return len(self.labels)


def feature_views(
    records: Records, split: str, backbone: keras.Model, weights_hash: str, config: FitConfig
) -> FeatureViews:
    """Opens the features of a split; what is missing is computed first, with a progress bar.

    Train photos have `config.num_views` augmented views, validation and test photos one eval view.
    They lie in `DATA/features/`, in a folder named after a hash of all they depend on: features
    that were made otherwise can't be read by mistake. A killed extraction goes on where it was.

    Args:
        records: From `data.open_records`.
        split: "train", "validation" or "test".
        backbone: From `backbones.build_backbone` with the same `config`.
        weights_hash: Of the backbone, from `backbones.hash_weights`.
        config: FitConfig.

    Raises:
        UserError: the folder can't be written, or a feature is too large for float16.
    """
    key = features_key(records, split, weights_hash, config)
    folder = records.data_dir / "features" / f"{split}-{config.backbone}-{_digest(key)}"
    _start_folder(folder, key)
    labels, photo_ids = _load_index(folder, records, split)
    views = range(config.num_views) if split == "train" else [None]
    paths = {view: folder / ("eval.npy" if view is None else f"view-{view}.npy") for view in views}
    missing = {view: path for view, path in paths.items() if not path.exists()}
    shape = (len(labels), *backbone.output_shape[1:])
    with tqdm(
        total=len(missing) * len(labels),
        desc=f"Features of {split}",
        unit=" photos",
        disable=not missing,
    ) as bar:
        for view, path in missing.items():
            done = _rows_done(path)
            bar.update(done)
            bar.unpause()
            batches = photo_batches(records, split, view, config, EXTRACT_BATCH, skip=done)
            _extract(batches, backbone, path, shape, done, bar)
    arrays = [np.load(path, mmap_mode="r") for path in paths.values()]
    return FeatureViews(arrays, labels, photo_ids)


def features_key(records: Records, split: str, weights_hash: str, config: FitConfig) -> dict:
    """Returns all that the features of a split depend on."""
    names = ["backbone", "cut_layer", "image_size"]
    if split == "train":  # eval views have no randomness, so another seed finds them again
        names += ["seed", "rotation", "min_crop_area", "brightness", "flip"]
    return {
        "format": FORMAT,
        "split": split,
        "records": records.fingerprint,
        "weights": weights_hash,
        "precision": choose_precision(config.precision),
        **{name: getattr(config, name) for name in names},
    }


def train_batches(
    views: FeatureViews, outputs: Sequence[str], config: FitConfig, first_epoch: int = 0
) -> tf.data.Dataset:
    """Yields the batches of all epochs from `first_epoch` on, each epoch in its own shuffled order.

    Epoch e uses view e modulo the number of views. A batch depends on the seed and its number
    only, so training can start at any epoch and sees what it would have seen.

    Args:
        views: Features of the train split.
        outputs: Names of the head's outputs; each gets the labels.
        config: FitConfig; its seed, batch_size and epochs.
        first_epoch: Int, counted from 0.

    Returns:
        Dataset of (features float16 `(batch, height, width, channels)`, dict of labels
        `(batch,)`), `steps_per_epoch` batches per epoch; the last of an epoch may be smaller.
    """
    steps = steps_per_epoch(len(views), config.batch_size)

    def read(step):
        epoch, batch = divmod(int(step), steps)
        order = np.random.default_rng([config.seed, epoch]).permutation(len(views))
        rows = order[batch * config.batch_size : (batch + 1) * config.batch_size]
        return views.arrays[epoch % len(views.arrays)][rows], views.labels[rows]

    numbers = tf.data.Dataset.range(first_epoch * steps, config.epochs * steps)
    return _read_batches(numbers, read, views, outputs)


def eval_batches(views: FeatureViews, outputs: Sequence[str], batch_size: int) -> tf.data.Dataset:
    """Yields every photo of a split once, in order; batches as in `train_batches`."""

    def read(step):
        rows = slice(int(step) * batch_size, (int(step) + 1) * batch_size)
        return views.arrays[0][rows], views.labels[rows]

    numbers = tf.data.Dataset.range(steps_per_epoch(len(views), batch_size))
    return _read_batches(numbers, read, views, outputs)


def steps_per_epoch(photos: int, batch_size: int) -> int:
    """Returns the number of batches that hold all photos, the last perhaps smaller."""
    return -(-photos // batch_size)


def _read_batches(numbers, read, views, outputs):
    def load(step):
        features, labels = tf.numpy_function(read, [step], [tf.float16, tf.int64])
        features.set_shape([None, *views.shape])
        labels.set_shape([None])
        return features, dict.fromkeys(outputs, labels)

    batches = numbers.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
    return without_autotune(batches)


def _digest(key):
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _start_folder(folder, key):
    if (folder / "manifest.json").exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_atomically(folder / "manifest.json", json.dumps(key, indent=2) + "\n")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise UserError(
            f"Can't write features to {folder} ({error.strerror}). Make the folder writable, or "
            "copy the records to a place that is."
        ) from error


def _load_index(folder, records, split):
    """Labels and photo ids in record order; kept, since reading them means reading all records."""
    path = folder / "photos.json"
    if not path.exists():
        labels, photo_ids = photo_index(records, split)
        text = json.dumps({"labels": labels.tolist(), "photo_ids": photo_ids})
        _write_atomically(path, text)
    index = json.loads(path.read_text(encoding="utf-8"))
    return np.array(index["labels"], np.int64), index["photo_ids"]


def _part(path):
    return path.with_suffix(".part")


def _journal(path):
    return path.with_suffix(".journal")


def _rows_done(path):
    """Rows that an earlier, interrupted extraction has safely on disk."""
    if not (_part(path).exists() and _journal(path).exists()):
        return 0
    return int(_journal(path).read_text())


def _extract(batches, backbone, path, shape, done, bar):
    mode = "r+" if done else "w+"
    array = np.lib.format.open_memmap(_part(path), mode, dtype=np.float16, shape=shape)
    for number, batch in enumerate(batches, start=1):
        features = backbone.predict_on_batch(batch["photo"])
        rows = slice(done, done + len(features))
        with np.errstate(over="ignore"):  # infinities are reported below, with advice
            array[rows] = features
        if not np.isfinite(array[rows]).all():
            raise UserError(
                f"{path.parent.name}: features up to {np.abs(features).max():g} do not fit float16 "
                "(65504). Are these the right weights for this backbone?"
            )
        done = rows.stop
        bar.update(len(features))
        if number % SAVE_EVERY == 0:
            array.flush()
            _write_atomically(_journal(path), str(done))
    if done != shape[0]:
        raise UserError(
            f"{path.parent.name}: expected {shape[0]} photos in the records, read {done}. "
            "The records are damaged; build them again."
        )
    array.flush()
    os.replace(_part(path), path)
    _journal(path).unlink(missing_ok=True)


def _write_atomically(path: Path, text: str):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
