"""TFRecord files: written as TensorFlow writes them, read as it wrote them."""

import numpy as np
import pytest

from tfrecords.frames import masked_crc, read_frames, write_records

SIZES = (0, 1, 3, 4, 255, 256, 257, 511, 512, 5000)


@pytest.fixture(scope="module")
def records():
    random = np.random.default_rng(0)
    return [random.bytes(size) for size in SIZES]


@pytest.fixture
def written_by_tensorflow(records, tmp_path):
    import tensorflow as tf

    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def test_records_are_written_as_tensorflow_writes_them(records, written_by_tensorflow, tmp_path):
    assert write_records(tmp_path / "ours.tfrecord", records) == sum(SIZES)
    assert (tmp_path / "ours.tfrecord").read_bytes() == written_by_tensorflow.read_bytes()


def test_frames_are_those_that_tensorflow_writes(records, written_by_tensorflow):
    frames = list(read_frames(written_by_tensorflow))
    assert [frame.data for frame in frames] == records
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert [frame.problem for frame in frames] == [""] * 10
    assert [masked_crc(frame.data) for frame in frames] == [frame.checksum for frame in frames]
