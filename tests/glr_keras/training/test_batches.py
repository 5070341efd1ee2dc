"""What training is fed with: the same batches from any step on, stored or live."""

import collections
import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from train_views import batches_of_view

from glr_keras.config import FitConfig
from glr_keras.data.records import open_records, photo_index
from glr_keras.features.extraction import feature_views
from glr_keras.features.store import FeatureViews
from glr_keras.features.view_files import ViewFile
from glr_keras.training.batches import LivePhotos, StoredFeatures, label_weights, steps_per_epoch
from tfrecords.common.console import UserError

CONFIG = FitConfig(image_size=32, epochs=4, views=2, batch_size=4, seed=1)
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 3, 3])


@pytest.fixture
def make_source(tmp_path):
    """Makes a source of 10 photos whose features tell photo and view: photo + 100 * view."""

    def make(config=CONFIG, outputs=("perception",), labels=LABELS, splits=("train", "test")):
        views = {}
        for split in splits:
            numbers = range(config.num_views) if split == "train" else [None]
            (tmp_path / split).mkdir(exist_ok=True)
            files = {n: numbered_file(tmp_path / split, len(labels), n) for n in numbers}
            views[split] = FeatureViews(split, files, labels, [f"{n}.jpg" for n in labels])
        return StoredFeatures(views, outputs, 4, config)

    return make


def numbered_file(folder, photos, view):
    file = ViewFile(folder / f"{view}.npy", (photos, 1, 1, 1))
    numbers = np.arange(photos) + 100 * (view or 0)
    for block in range(file.num_blocks):
        file.write_block(block, numbers[block * 32 : block * 32 + 32].reshape(-1, 1, 1, 1))
    return file


def shown(batches):
    """Features as whole numbers, labels and weights of each batch."""
    return [
        (inputs.numpy().astype(int).ravel().tolist(), *[t["perception"].numpy() for t in targets])
        for inputs, *targets in batches
    ]


def numbers_of(batches):
    return [batch[0] for batch in shown(batches)]


@pytest.mark.parametrize(
    ("photos", "batch_size", "steps"), [(10, 4, 3), (12, 4, 3), (1, 4, 1), (13, 4, 4)]
)
def test_an_epoch_has_a_step_for_every_photo(photos, batch_size, steps):
    assert steps_per_epoch(photos, batch_size) == steps


def test_each_epoch_shows_every_photo_once_in_another_order_and_the_next_view(make_source):
    batches = shown(make_source().train_batches(0))
    assert [len(numbers) for numbers, _ in batches] == [4, 4, 2] * 4
    orders = []
    for epoch in range(4):
        of_epoch = batches[3 * epoch : 3 * epoch + 3]
        numbers = [number for numbers, _ in of_epoch for number in numbers]
        order = [number - 100 * (epoch % 2) for number in numbers]
        assert sorted(order) == list(range(10))
        np.testing.assert_array_equal(np.concatenate([y for _, y in of_epoch]), LABELS[order])
        orders.append(tuple(order))
    assert len(set(orders)) == 4


def test_the_order_is_the_seed_s(make_source):
    first, again, other = (
        numbers_of(make_source(dataclasses.replace(CONFIG, seed=seed)).train_batches(0))
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("step", [1, 3, 7, 11, 12])
def test_training_can_start_at_any_step_and_sees_the_same(make_source, step):
    source = make_source()
    assert numbers_of(source.train_batches(step)) == numbers_of(source.train_batches(0))[step:]


def test_features_are_float16_of_a_known_shape_and_every_output_has_the_labels(make_source):
    batches = make_source(outputs=("attention", "perception")).train_batches(0)
    features, labels = next(iter(batches))
    assert (features.shape, features.dtype) == ((4, 1, 1, 1), "float16")
    assert batches.element_spec[0].shape.as_list() == [None, 1, 1, 1]
    assert list(labels) == ["attention", "perception"]
    np.testing.assert_array_equal(labels["attention"], labels["perception"])


def test_eval_sees_every_photo_once_in_order_also_in_the_last_partial_batch(
    make_source, monkeypatch
):
    monkeypatch.setattr("glr_keras.features.store.FEATURES_BATCH", 4)
    batches = shown(make_source().eval_batches("test"))
    assert [numbers for numbers, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), LABELS)


def test_train_photos_come_in_order_in_the_first_view_and_then_the_next(make_source, monkeypatch):
    monkeypatch.setattr("glr_keras.features.store.FEATURES_BATCH", 6)
    features, labels = zip(*make_source().in_order("train"), strict=True)
    assert [len(batch) for batch in features] == [6, 4, 6, 4]
    assert np.concatenate(features).ravel().tolist() == [*range(10), *range(100, 110)]
    np.testing.assert_array_equal(np.concatenate(labels), [*LABELS, *LABELS])


def test_the_index_gives_labels_and_photo_ids_in_order(make_source):
    labels, photo_ids = make_source().index("test")
    np.testing.assert_array_equal(labels, LABELS)
    assert photo_ids == [f"{n}.jpg" for n in LABELS]


def test_balance_1_makes_landmarks_count_the_same():
    weights = label_weights(LABELS, 4, 1.0)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [10 / 18, 10 / 6, 0, 10 / 6], rtol=1e-6)
    per_landmark = np.bincount(LABELS, weights[LABELS])
    np.testing.assert_allclose(per_landmark[[0, 1, 3]], 10 / 3, rtol=1e-6)


def test_balance_one_half_is_between_and_0_is_no_weight():
    roots = np.array([1 / np.sqrt(6), 1 / np.sqrt(2), 0, 1 / np.sqrt(2)])
    scale = 10 / (np.sqrt(6) + 2 * np.sqrt(2))
    np.testing.assert_allclose(label_weights(LABELS, 4, 0.5), roots * scale, rtol=1e-6)
    np.testing.assert_array_equal(label_weights(LABELS, 4, 0.0), [1, 1, 0, 1])


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 1.0])
def test_the_mean_weight_of_the_photos_is_1(balance):
    assert label_weights(LABELS, 4, balance)[LABELS].mean() == pytest.approx(1, rel=1e-6)


def test_training_batches_carry_the_weights_and_measuring_ones_do_not(make_source):
    source = make_source(dataclasses.replace(CONFIG, balance=1.0))
    expected = label_weights(LABELS, 4, 1.0)
    for _, labels, weights in shown(source.train_batches(0)):
        np.testing.assert_array_equal(weights, expected[labels])
    assert {len(batch) for batch in shown(source.eval_batches("test"))} == {2}
    assert {len(batch) for batch in shown(make_source().train_batches(0))} == {2}


@pytest.mark.parametrize("harm", ["delete", "cut"])
def test_features_that_vanish_while_training_are_named(make_source, tmp_path, harm):
    source = make_source()
    batches = iter(source.train_batches(3))  # of the second epoch, and so of the second view
    path = tmp_path / "train" / "1.npy"
    data = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(data[:-20])
    message = r"1\.npy was changed or deleted while it was used"
    with pytest.raises(UserError, match=message), source.reraise_user_errors():
        list(batches)


def test_other_errors_of_tensorflow_stay_what_they_are(make_source):
    source = make_source()
    with pytest.raises(tf.errors.DataLossError), source.reraise_user_errors():
        raise tf.errors.DataLossError(None, None, "a shard")


@pytest.fixture(scope="module")
def same_photos(demo_data, tmp_path_factory):
    """A live source of the demo's records, and a stored one of the very photos as features."""
    config = dataclasses.replace(CONFIG, batch_size=7, epochs=3, views=2, balance=0.5)
    folder = tmp_path_factory.mktemp("same") / "data"
    shutil.copytree(demo_data, folder, ignore=shutil.ignore_patterns("features"))
    records = open_records(folder)
    photos = keras.Input((32, 32, 3))
    network = keras.Model(photos, keras.layers.Identity()(photos))
    outputs = ("attention", "perception")
    views = feature_views(records, network, "none", config)
    return (
        LivePhotos(records, outputs, 10, config),
        StoredFeatures(views, outputs, 10, config),
        records,
        config,
    )


def rounded(batches):
    """Inputs in float16, as features are stored, and the targets' values."""
    return [
        (inputs.numpy().astype(np.float16), *[v.numpy() for t in targets for v in t.values()])
        for inputs, *targets in batches
    ]


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        for values, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("step", [0, 8])  # the start, and the middle of the second epoch
def test_live_photos_come_in_the_views_and_the_order_of_stored_ones(same_photos, step):
    live, stored, _, _ = same_photos
    assert_same(rounded(live.train_batches(step)), rounded(stored.train_batches(step)))


def test_live_measuring_sees_the_same_photos_in_the_same_order(same_photos):
    live, stored, _, _ = same_photos
    for split in ("validation", "test"):
        photos, *labels = map(np.concatenate, zip(*rounded(live.eval_batches(split)), strict=True))
        expected, *others = map(
            np.concatenate, zip(*rounded(stored.eval_batches(split)), strict=True)
        )
        np.testing.assert_array_equal(photos, expected)
        np.testing.assert_array_equal(labels, others)
        for mine, its in zip(live.index(split), stored.index(split), strict=True):
            assert list(mine) == list(its)


def test_live_photos_are_the_views_of_the_records(same_photos):
    live, _, records, config = same_photos
    labels, photo_ids = photo_index(records, "train")
    order = np.random.default_rng([config.seed, 1]).permutation(30)
    inputs, targets, _ = next(iter(live.train_batches(5)))  # the first batch of the second epoch
    assert inputs.dtype == "float32"
    views = np.concatenate([b["photo"] for b in batches_of_view(records, "train", 1, config, 30)])
    np.testing.assert_array_equal(inputs, views[order[:7]])
    np.testing.assert_array_equal(targets["attention"], labels[order[:7]])
    assert len(set(photo_ids)) == 30


def test_a_record_that_is_damaged_while_training_live_is_named(records):
    source = LivePhotos(records, ("perception",), 10, CONFIG)
    batches = iter(source.train_batches(0))
    path = next(records.data_dir.glob("*train.tfrecord*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(UserError, match=r"is damaged\. See what is wrong with"),
        source.reraise_user_errors(),
    ):
        collections.deque(batches, 0)
