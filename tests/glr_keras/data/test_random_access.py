"""Any record by its number, as TFDS reads them all in turn."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from glr_keras.data.random_access import RandomAccess, parse_record
from glr_keras.data.records import open_records, raw_records
from tfrecords.common.console import UserError


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory):
    """Records whose train photos lie in several shards, of more photos than TFDS would mix."""
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo.photos import write_photos

    folder = tmp_path_factory.mktemp("shards")
    write_photos(folder / "photos", photos_per_landmark=9, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfrecords.records.writer.SHARD_PHOTOS", 20)
        build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    return open_records(folder / "data")


@pytest.mark.parametrize(("split", "num_shards"), [("train", 4), ("validation", 1), ("test", 1)])
def test_each_number_is_the_record_that_features_are_made_of_there(many_shards, split, num_shards):
    shards = [s for s in many_shards.manifest["shards"] if s["split"] == split]
    assert len(shards) == num_shards
    assert split != "train" or min(shard["records"] for shard in shards) > 16
    expected = list(raw_records(many_shards, split))
    reader = RandomAccess(many_shards, split)
    numbers = np.random.default_rng(0).permutation(len(expected))
    assert len(numbers) == many_shards.num_photos(split)
    for number in numbers:
        record = parse_record(tf.constant(reader.read(number)))
        assert set(record) == {"image", "label", "photo_id", "box"}
        for name, value in record.items():
            np.testing.assert_array_equal(value, expected[number][name], err_msg=name)
            assert value.dtype == expected[number][name].dtype


def damaged(records, byte):
    """Flips a bit of the first train shard."""
    path = next(records.data_dir.glob("*train.tfrecord*"))
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    return path


def test_a_damaged_length_is_told_when_the_split_is_opened(records):
    path = damaged(records, 0)
    message = rf"{path.name}, record 1: its length is damaged\. See what is wrong with: python -m "
    with pytest.raises(UserError, match=message + rf"tfrecords\.check {records.data_dir}"):
        RandomAccess(records, "train")


def test_a_damaged_record_is_told_when_it_is_read(records):
    reader = RandomAccess(records, "train")
    first, second = itertools.islice(raw_records(records, "train"), 2)
    path = damaged(records, 500)
    with pytest.raises(UserError, match=rf"{path.name}: the record at byte 0 is damaged\. See"):
        reader.read(0)
    assert parse_record(tf.constant(reader.read(1)))["photo_id"] == second["photo_id"]
    assert first["photo_id"] != second["photo_id"]


def test_a_shard_that_was_deleted_meanwhile_is_told(records):
    reader = RandomAccess(records, "train")
    next(records.data_dir.glob("*train.tfrecord*")).unlink()
    with pytest.raises(UserError, match=r"No such file .* python -m tfrecords\.check"):
        reader.read(0)
