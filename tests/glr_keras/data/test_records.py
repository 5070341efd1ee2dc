"""Records -> batches of photos."""

import io
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from glr_keras.data.records import open_records, photo_batches, photo_index
from tfrecords.common.console import UserError


def test_batches_show_every_photo_once_in_the_order_of_the_records(records):
    labels, photo_ids = photo_index(records, "train")
    assert len(set(photo_ids)) == len(photo_ids) == records.num_photos("train") == 30
    batches = list(photo_batches(records, "train", 64, "whole", batch_size=7))
    assert [len(batch["label"]) for batch in batches] == [7, 7, 7, 7, 2]
    assert [one.decode() for batch in batches for one in batch["photo_id"].numpy()] == photo_ids
    np.testing.assert_array_equal(np.concatenate([b["label"] for b in batches]), labels)


def test_photos_are_float_rgb_in_0_to_255(records):
    batch = next(iter(photo_batches(records, "test", 64, "whole", batch_size=10)))
    photos = batch["photo"].numpy()
    assert photos.shape == (10, 64, 64, 3)
    assert photos.dtype == np.float32
    assert 0 <= photos.min() < 60
    assert 190 < photos.max() <= 255


def test_eval_view_of_a_record_is_the_centre_of_its_own_pixels(records):
    batch = next(iter(photo_batches(records, "test", 224, "center", batch_size=1)))
    jpeg = next(iter(tfds.as_numpy(raw_records(records, "test"))))["image"]
    photo = np.asarray(Image.open(io.BytesIO(jpeg)), np.float32)
    top, left = ((side - 224) // 2 for side in photo.shape[:2])
    expected = photo[top : top + 224, left : left + 224]
    assert np.abs(batch["photo"][0].numpy() - expected).max() <= 2  # two builds of libjpeg


def raw_records(records, split):
    return records.builder.as_dataset(
        split=split, decoders={"image": tfds.decode.SkipDecoding()}, shuffle_files=False
    )


def test_boxes_come_with_the_photos(records):
    boxes = next(iter(photo_batches(records, "test", 64, "whole", 10)))["box"].numpy()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 1


def test_fingerprint_names_the_records_not_their_place(records, demo_data):
    assert records.fingerprint == open_records(demo_data).fingerprint
    path = records.data_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    assert open_records(records.data_dir).fingerprint != records.fingerprint


def test_a_folder_without_records_names_the_command_that_builds_them(tmp_path):
    with pytest.raises(UserError, match=r"python -m tfrecords.build --photos PHOTOS --out"):
        open_records(tmp_path)


def test_counts_that_contradict_each_other_are_told(records):
    path = records.data_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["photos"]["train"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"contradicts itself: .* python -m tfrecords.check"):
        open_records(records.data_dir)


@pytest.mark.parametrize("harm", ["cut", "delete"])
def test_a_harmed_shard_is_named(records, harm):
    path = next(records.data_dir.glob("*train.tfrecord*"))
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    with pytest.raises(UserError, match=rf"{path.name} should have \d+ bytes, but is"):
        open_records(records.data_dir)
