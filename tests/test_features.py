"""Features computed once, kept on disk, and fed to training."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from glr_keras.backbones import build_backbone, hash_weights
from glr_keras.config import FitConfig
from glr_keras.data import open_records, photo_batches
from glr_keras.features import (
    EXTRACT_BATCH,
    FeatureViews,
    eval_batches,
    feature_views,
    train_batches,
)
from tfrecords.console import UserError

CONFIG = FitConfig(weights="random", image_size=32, epochs=2, batch_size=8, precision="float32")


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(CONFIG)


class Counting:
    """The backbone, with a count of the photos it is shown, and a switch that interrupts it."""

    def __init__(self, backbone, stop_at=None):
        self.backbone, self.photos, self.stop_at = backbone, 0, stop_at
        self.output_shape = backbone.output_shape

    def predict_on_batch(self, photos):
        if self.stop_at is not None and self.photos >= self.stop_at:
            raise KeyboardInterrupt
        self.photos += len(photos)
        return self.backbone.predict_on_batch(photos)


def views_of(records, backbone, split="train", config=CONFIG):
    return feature_views(records, split, backbone, "weights", config)


def test_features_are_what_the_backbone_says_of_each_view(records, backbone):
    views = views_of(records, backbone)
    assert [array.shape for array in views.arrays] == [(30, 1, 1, 512)] * 2
    assert views.arrays[0].dtype == np.float16
    assert isinstance(views.arrays[0], np.memmap)
    for view, array in enumerate(views.arrays):
        batches = list(photo_batches(records, "train", view, CONFIG, EXTRACT_BATCH))
        expected = np.concatenate([backbone.predict_on_batch(batch["photo"]) for batch in batches])
        np.testing.assert_array_equal(array, expected.astype(np.float16))
        ids = [i.decode() for batch in batches for i in batch["photo_id"].numpy()]
        assert views.photo_ids == ids
    assert (views.arrays[0] != views.arrays[1]).any()


def test_the_backbone_sees_each_photo_and_view_once_ever(records, backbone):
    counting = Counting(backbone)
    views_of(records, counting)
    assert counting.photos == 60
    for head in ("dropout", "abn"):
        changed = dataclasses.replace(CONFIG, head=head, alpha=0.5, learning_rate=0.1, batch_size=3)
        views_of(records, counting, config=changed)
    assert counting.photos == 60
    views_of(records, counting, config=dataclasses.replace(CONFIG, epochs=3))
    assert counting.photos == 90  # one more view, the others are reused


def test_eval_features_do_not_depend_on_the_seed_or_the_augmentation(records, backbone):
    counting = Counting(backbone)
    views_of(records, counting, "test")
    changed = dataclasses.replace(CONFIG, seed=5, rotation=0.0)
    views_of(records, counting, "test", changed)
    assert counting.photos == 10
    views_of(records, counting, "train", changed)
    views_of(records, counting, "train")
    assert counting.photos == 10 + 60 + 60


def test_other_records_or_weights_never_read_these_features(records, backbone):
    counting = Counting(backbone)
    views_of(records, counting, "test")
    feature_views(records, "test", counting, "other weights", CONFIG)
    assert counting.photos == 20
    path = records.data_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    views_of(open_records(records.data_dir), counting, "test")
    assert counting.photos == 30


def test_an_interrupted_extraction_goes_on_and_ends_the_same(
    records, backbone, monkeypatch, tmp_path
):
    monkeypatch.setattr("glr_keras.features.EXTRACT_BATCH", 4)
    monkeypatch.setattr("glr_keras.features.SAVE_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        views_of(records, Counting(backbone, stop_at=12))  # 12 photos seen, 8 of them noted
    counting = Counting(backbone)
    resumed = [np.array(array) for array in views_of(records, counting).arrays]
    assert counting.photos == 60 - 8
    for path in (records.data_dir / "features").rglob("view-*.npy"):
        path.unlink()
    for array, again in zip(resumed, views_of(records, backbone).arrays, strict=True):
        np.testing.assert_array_equal(array, again)
    leftovers = [p.name for p in (records.data_dir / "features").rglob("*") if p.is_file()]
    assert not [name for name in leftovers if name.endswith((".part", ".journal", ".tmp"))]


def test_features_too_large_for_float16_are_refused(records):
    photos = keras.Input((32, 32, 3))
    loud = keras.Model(photos, keras.layers.Rescaling(1e6)(photos))
    with pytest.raises(UserError, match=r"do not fit float16 \(65504\)"):
        views_of(records, loud, "test")


def numbered_views(photos=10, views=2):
    """Views whose features tell their photo and view: photo + 100 * view."""
    arrays = [np.arange(photos).reshape(-1, 1, 1, 1) + 100.0 * view for view in range(views)]
    ids = [str(photo) for photo in range(photos)]
    return FeatureViews([a.astype(np.float16) for a in arrays], np.arange(photos), ids)


def shown(batches):
    return [
        (features.numpy().ravel(), labels["perception"].numpy()) for features, labels in batches
    ]


def test_each_epoch_shows_every_photo_once_in_another_order_and_the_next_view():
    config = FitConfig(epochs=4, batch_size=4, seed=1)
    batches = shown(train_batches(numbered_views(), ["perception"], config))
    assert [len(labels) for _, labels in batches] == [4, 4, 2] * 4
    orders = []
    for epoch in range(4):
        features, labels = map(
            np.concatenate, zip(*batches[3 * epoch : 3 * epoch + 3], strict=True)
        )
        assert sorted(labels) == list(range(10))
        np.testing.assert_array_equal(features, labels + 100 * (epoch % 2))
        orders.append(tuple(labels))
    assert len(set(orders)) == 4


def test_training_can_start_at_any_epoch_and_sees_the_same():
    config = FitConfig(epochs=3, batch_size=4)
    whole = shown(train_batches(numbered_views(), ["perception"], config))
    rest = shown(train_batches(numbered_views(), ["perception"], config, first_epoch=2))
    assert len(rest) == 3
    for (features, labels), (expected, expected_labels) in zip(rest, whole[6:], strict=True):
        np.testing.assert_array_equal(features, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_eval_sees_every_photo_once_in_order_also_in_the_last_partial_batch():
    batches = list(eval_batches(numbered_views(), ["attention", "perception"], 4))
    labels = np.concatenate([labels["attention"] for _, labels in batches])
    np.testing.assert_array_equal(labels, np.arange(10))
    assert [len(features) for features, _ in batches] == [4, 4, 2]


def test_the_weights_hash_tells_weights_apart(backbone):
    assert hash_weights(backbone) == hash_weights(build_backbone(CONFIG))
    other = build_backbone(dataclasses.replace(CONFIG, seed=1))
    assert hash_weights(backbone) != hash_weights(other)
