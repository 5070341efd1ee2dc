"""Writes prepared photos as the shards of a TensorFlow Datasets directory."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.types import Photo
from tfrecords.records.metadata import Shard
from tfrecords.records.tfrecord_io import write_records

DATASET = "google_landmarks"
SHARD_PHOTOS = 4096  # about 100 MB at a short side of 256 pixels: few files, many readers


def write_shards(
    folder: Path,
    names: list[str],
    labels: Mapping[str, int],
    splits: Mapping[str, Sequence[Photo]],
    read_jpeg: Callable[[Photo], bytes],
) -> list[Shard]:
    """Writes shards and the metadata that `tfds.builder_from_directory` reads.

    The photos of a split are in the order of a hash of `photo_id`, the one TFDS uses: shuffled,
    and the same on every machine. One record is in memory at a time.

    Args:
        folder: Exists; is filled.
        names: Name of every landmark, in label order.
        labels: landmark_id -> label.
        splits: Split name -> its photos.
        read_jpeg: From a photo to its upright RGB JPEG.
    """
    import tensorflow_datasets as tfds

    from tfrecords.records import schema

    shards, infos = [], []
    with tqdm(total=sum(map(len, splits.values())), desc="Writing records", unit=" photos") as bar:

        def record(photo):
            bar.update()
            return schema.record(photo, read_jpeg(photo), labels[photo.landmark_id])

        for split, photos in splits.items():
            template = tfds.core.ShardedFileTemplate(
                folder, dataset_name=DATASET, split=split, filetype_suffix="tfrecord"
            )
            of_split, num_bytes = _write_split(template, photos, record)
            lengths = [shard.records for shard in of_split]
            infos.append(tfds.core.SplitInfo(split, lengths, num_bytes, template))
            shards += of_split
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=schema.features(names),
        split_infos=infos,
        version=schema.VERSION,
        filename_template=template,
        check_data=False,  # it would import a reader to check one record; check.py checks all
        description=schema.DESCRIPTION,
        supervised_keys=schema.SUPERVISED_KEYS,
    )
    return shards


def _write_split(template, photos, record):
    """Returns the shards of a split, and the bytes of their records."""
    shards, num_bytes = [], 0
    parts = shard_photos(photos, template.split)
    paths = template.sharded_filepaths(num_shards=len(parts))
    for path, part in zip(paths, parts, strict=True):
        file = write_records(path, map(record, part))
        shards.append(Shard(path.name, template.split, file.records, file.file_bytes, file.sha256))
        num_bytes += file.data_bytes
    return shards, num_bytes


def shard_photos(photos: Sequence[Photo], split: str) -> list[list[Photo]]:
    """Returns the photos of each shard of a split, in order; shards differ by one in length."""
    ordered = sorted(photos, key=lambda photo: _hash(split, photo))
    count = -(-len(ordered) // SHARD_PHOTOS)
    bounds = [round(len(ordered) * number / count) for number in range(count + 1)]
    return [ordered[start:end] for start, end in itertools.pairwise(bounds)]


def _hash(split, photo):
    # The split is the salt, or a photo would have the same neighbours in each.
    return hashlib.md5((split + photo.photo_id).encode(), usedforsecurity=False).digest()
