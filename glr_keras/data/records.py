"""Records on disk -> batches of photos: train views (augmented) and eval views, in record order."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from glr_keras.config import FitConfig
from glr_keras.data.manifest import fingerprint, is_demo, load_manifest
from glr_keras.data.tracing import as_written
from glr_keras.data.views import eval_view, make_view
from tfrecords.common.console import UserError, command_line
from tfrecords.common.parallel import available_cores
from tfrecords.common.types import SPLITS
from tfrecords.images.prepared import digest_of


@dataclasses.dataclass(frozen=True)
class Records:
    """A directory of records that was opened and found complete.

    Attributes:
        data_dir: The directory.
        builder: TFDS builder that reads it.
        manifest: What `manifest.json` says of them.
    """

    data_dir: Path
    builder: tfds.core.DatasetBuilder
    manifest: dict

    @cached_property
    def landmarks(self) -> list[str]:
        """Names in label order."""
        return self.builder.info.features["label"].names

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any record does."""
        return fingerprint(self.manifest)

    @property
    def is_demo(self) -> bool:
        """Whether the photos are the built-in demo's, drawn by a program."""
        return is_demo(self.manifest)

    def num_photos(self, split: str) -> int:
        return self.builder.info.splits[split].num_examples


def open_records(data_dir: Path) -> Records:
    """Opens records and makes the cheap check: every shard there, of the size it was written.

    A shard that was cut short on a record boundary reads as complete, so sizes must be compared.
    `python -m tfrecords.check` looks at every record.

    Raises:
        UserError: no records there, or a shard is missing, of another size or has other counts.
    """
    out = "DATA" if data_dir.exists() else data_dir  # the builder takes no folder that is in use
    build = command_line("tfrecords.build", "--photos", "PHOTOS", "--out", out)
    try:
        manifest = load_manifest(data_dir)
        shards = [(data_dir / shard["file"], shard["bytes"]) for shard in manifest["shards"]]
        builder = tfds.builder_from_directory(data_dir)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"No landmark records in {data_dir} ({error}). Build them first with: {build}"
        ) from error
    for path, size in shards:
        found = path.stat().st_size if path.exists() else None
        if found != size:
            state = "missing" if found is None else f"{found} bytes"
            raise UserError(
                f"{path} should have {size} bytes, but is {state}. Build the records again with: "
                f"{build}"
            )
    _check_counts(manifest, builder.info, data_dir)
    return Records(data_dir, builder, manifest)


def photo_batches(
    records: Records, split: str, image_size: int, framing: str, batch_size: int
) -> tf.data.Dataset:
    """Yields the eval view of every photo of a split once, in the order of the records.

    Args:
        records: From `open_records`.
        split: "train", "validation" or "test".
        image_size, framing: Of the view, see `views.eval_view`.
        batch_size: Int; the last batch may be smaller.

    Returns:
        Dataset of dicts: "photo" float32 `(batch, image_size, image_size, 3)` in [0, 255], "label"
        int64 `(batch,)`, "photo_id" string `(batch,)`, "box" float32 `(batch, 4)` (ymin, xmin,
        ymax, xmax) in the whole photo.
    """

    @as_written
    def show(record):
        photo = eval_view(decode_photo(record), image_size, framing)
        return {"photo": photo, **{name: record[name] for name in ("label", "photo_id", "box")}}

    photos = raw_records(records, split)
    photos = photos.map(show, num_parallel_calls=available_cores(), deterministic=True)
    return without_autotune(photos.batch(batch_size).prefetch(2))


def view_batches(
    records: Records,
    split: str,
    views: Sequence[int | None],
    numbers: np.ndarray,
    config: FitConfig,
    batch_size: int,
) -> tf.data.Dataset:
    """Yields several views of some photos, each of which is decoded once.

    Args:
        records, split, batch_size: As in `photo_batches`.
        views: Numbers of augmented views, or None for the eval view.
        numbers: Ints, the places of the photos among the records; in ascending order.
        config: FitConfig, as `views.make_view` takes it.

    Returns:
        Dataset of tuples: for each view, float32 `(batch, image_size, image_size, 3)` in [0, 255].
    """

    @as_written
    def show(record):
        photo = decode_photo(record)
        return tuple(make_view(photo, record["photo_id"], view, config) for view in views)

    first, last = int(numbers[0]), int(numbers[-1])
    is_wanted = np.zeros(last + 1 - first, bool)
    is_wanted[np.asarray(numbers) - first] = True
    photos = raw_records(records, split).skip(first).take(len(is_wanted))
    if not is_wanted.all():
        wanted = tf.data.Dataset.from_tensor_slices(is_wanted)
        photos = tf.data.Dataset.zip(photos, wanted).filter(lambda _, is_wanted: is_wanted)
        photos = photos.map(lambda record, _: record)
    photos = photos.map(show, num_parallel_calls=available_cores(), deterministic=True)
    return without_autotune(photos.batch(batch_size).prefetch(1))


def decode_photo(record: dict) -> tf.Tensor:
    """Decodes the photo of a record from `raw_records`: uint8 `(height, width, 3)`, RGB."""
    # Exact inverse DCT: the fast one differs between builds of libjpeg.
    return tf.io.decode_jpeg(record["image"], channels=3, dct_method="INTEGER_ACCURATE")


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns `dataset` with the parallelism it was given.

    TensorFlow's tuner thread sleeps for up to a minute between two checks, and dropping an iterator
    waits for it: with tuning on, each view of 300 photos took 19 s longer (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def photo_index(records: Records, split: str) -> tuple[np.ndarray, list[str]]:
    """Returns labels, int64 `(photos,)`, and photo ids of a split, in the order of the records."""
    labels, photo_ids = [], []
    for record in raw_records(records, split).batch(1024).as_numpy_iterator():
        labels.append(record["label"])
        photo_ids += [photo_id.decode() for photo_id in record["photo_id"]]
    return np.concatenate(labels), photo_ids


def photo_hashes(records: Records, split: str) -> list[bytes]:
    """Returns a hash of id and bytes of each photo: all that its views depend on, but settings."""
    return [
        digest_of(record["photo_id"] + b"\0" + record["image"])
        for record in raw_records(records, split).as_numpy_iterator()
    ]


def raw_records(records: Records, split: str) -> tf.data.Dataset:
    """Yields the records of a split in their order, each photo as the bytes of its JPEG."""
    return records.builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        # Shard after shard, as `RandomAccess` reads them; TFDS would mix blocks of 16 shards.
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
    )


def _check_counts(manifest, info, data_dir):
    counted = {split: manifest["photos"].get(split) for split in SPLITS}
    in_shards = {
        split: sum(one["records"] for one in manifest["shards"] if one["split"] == split)
        for split in SPLITS
    }
    in_info = {name: info.splits[name].num_examples for name in SPLITS if name in info.splits}
    if not counted == in_shards == in_info:
        raise UserError(
            f"{data_dir} contradicts itself: manifest.json counts {counted} photos and {in_shards} "
            f"in its shards, dataset_info.json {in_info}. See what is wrong with: "
            + command_line("tfrecords.check", data_dir)
        )
