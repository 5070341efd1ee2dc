"""TFRecord files: written as TensorFlow writes them, read as it wrote them."""

import hashlib

import numpy as np
import pytest

from tfrecords.records.tfrecord_io import (
    FOOTER,
    HEADER,
    masked_crc,
    read_frames,
    read_record,
    record_offsets,
    write_records,
)

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
    written = write_records(tmp_path / "ours.tfrecord", records)
    content = (tmp_path / "ours.tfrecord").read_bytes()
    assert content == written_by_tensorflow.read_bytes()
    assert written == (len(SIZES), sum(SIZES), len(content), hashlib.sha256(content).hexdigest())


def test_frames_are_those_that_tensorflow_writes(records, written_by_tensorflow):
    frames = list(read_frames(written_by_tensorflow))
    assert [frame.data for frame in frames] == records
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert [frame.problem for frame in frames] == [""] * 10
    assert [masked_crc(frame.data) for frame in frames] == [frame.checksum for frame in frames]


@pytest.fixture
def shard(records, tmp_path):
    write_records(tmp_path / "shard.tfrecord", records)
    return tmp_path / "shard.tfrecord"


def flip(path, byte, bit=0):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def test_each_record_is_read_at_its_offset(shard, records):
    offsets = record_offsets(shard)
    frames = [HEADER.size + size + FOOTER.size for size in SIZES]
    assert offsets == [sum(frames[:number]) for number in range(len(SIZES))]
    assert [read_record(shard, offset) for offset in reversed(offsets)] == records[::-1]


def test_an_empty_shard_has_no_offsets(tmp_path):
    write_records(tmp_path / "none", [])
    assert record_offsets(tmp_path / "none") == []


@pytest.mark.parametrize("place", [0, 7, 8, 11])
def test_a_flipped_bit_in_a_header_is_named_with_its_record(shard, place):
    start = record_offsets(shard)[4]
    flip(shard, start + place)
    with pytest.raises(ValueError, match=r"shard\.tfrecord, record 5: its length is damaged"):
        record_offsets(shard)
    with pytest.raises(ValueError, match=rf"the record at byte {start} is damaged"):
        read_record(shard, start)


@pytest.mark.parametrize("place", [HEADER.size, HEADER.size + 254, HEADER.size + 255])
def test_a_flipped_bit_in_a_record_or_its_checksum_is_found_when_it_is_read(shard, place):
    offsets = record_offsets(shard)
    flip(shard, offsets[4] + place, bit=7)
    assert record_offsets(shard) == offsets
    with pytest.raises(ValueError, match=rf"the record at byte {offsets[4]} is damaged"):
        read_record(shard, offsets[4])


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (-1, "ends within record 10"),
        (-5000, "ends within record 10"),
        (-5008, "record 10: its length is damaged"),
    ],
)
def test_a_shard_that_ends_early_is_named(shard, left, message):
    start = record_offsets(shard)[-1]
    shard.write_bytes(shard.read_bytes()[:left])
    with pytest.raises(ValueError, match=message):
        record_offsets(shard)
    with pytest.raises(ValueError, match=rf"the record at byte {start} is damaged"):
        read_record(shard, start)
