"""Reads any record of a split by its number, so that live training can shuffle its photos."""

import itertools

import numpy as np
import tensorflow as tf

from glr_keras.data.records import Records
from tfrecords.common.console import UserError, command_line
from tfrecords.records.tfrecord_io import read_record, record_offsets


class RandomAccess:
    """The records of a split by their number: shard after shard, as `records.raw_records` reads.

    Args:
        records: From `data.open_records`.
        split: "train", "validation" or "test".

    Raises:
        UserError: a shard is damaged.
    """

    def __init__(self, records: Records, split: str):
        self._data_dir = records.data_dir
        shards = [shard for shard in records.manifest["shards"] if shard["split"] == split]
        self._paths = [records.data_dir / shard["file"] for shard in shards]
        offsets = [self._checked(record_offsets, path) for path in self._paths]
        self._offsets = [np.array(one, np.int64) for one in offsets]
        self._ends = list(itertools.accumulate(map(len, self._offsets)))

    def __len__(self):
        return self._ends[-1] if self._ends else 0

    def read(self, number: int) -> bytes:
        """Returns the bytes of record `number`, an example of protocol buffers.

        Raises:
            UserError: it is damaged.
        """
        shard = int(np.searchsorted(self._ends, number, side="right"))
        start = self._ends[shard - 1] if shard else 0
        return self._checked(
            read_record, self._paths[shard], self._offsets[shard][int(number) - start]
        )

    def _checked(self, read, path, *arguments):
        try:
            return read(path, *arguments)
        except (ValueError, OSError) as error:
            command = command_line("tfrecords.check", self._data_dir)
            raise UserError(f"{error}. See what is wrong with: {command}") from error


def parse_record(data: tf.Tensor) -> dict:
    """Reads a photo and what is known of it from the bytes of a record."""
    scalar = {"image": tf.string, "label": tf.int64, "photo_id": tf.string}
    features = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in scalar.items()}
    features["box"] = tf.io.FixedLenFeature([4], tf.float32)
    return tf.io.parse_single_example(data, features)
