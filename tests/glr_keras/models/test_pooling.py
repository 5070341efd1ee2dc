"""Ways of pooling feature maps, by hand, and an ensemble of classifiers on several of them."""

import dataclasses

import keras
import numpy as np
import pytest
from plain_config import plain_config
from tiny_models import SHAPE, features, tiny_recognizer

from glr_keras.models.heads import build_head
from glr_keras.models.layers import ENSEMBLE
from glr_keras.models.objective import SmoothedCrossentropy, compile_model
from glr_keras.models.pooling import AttentivePooling, BilinearPooling, pooling_layers
from glr_keras.runs.metrics import log_softmax

CONFIG = plain_config(
    head_units=(), pooling="ensemble", attention_channels=5, dropout=0.0, normalize=False
)
CELLS = np.array([[[[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [0.0, 0.0]]]], np.float32)


def head_of(**settings):
    config = dataclasses.replace(CONFIG, **settings)
    head = build_head(config, 3, SHAPE)
    compile_model(head, config, steps_per_epoch=2)
    head.run_eagerly = True
    return head


def members_of(head, inputs):
    return np.stack([member(inputs, training=False) for member in head.branch.members], 1)


def test_roots_of_averages_keep_their_sign():
    pooled = keras.Sequential(pooling_layers("root")[:2])(np.array([[[[9.0, -4.0, 0.0]]]]))
    np.testing.assert_allclose(pooled, [[3, -2, 0]], atol=1e-3)


def test_a_query_averages_the_cells_that_it_finds_most_of_itself_in():
    """The first one seeks channel 0 (softmax of 1, 0, 3, 0 over cells), the second takes all."""
    layer = AttentivePooling(queries=2, units=4)
    layer.build(CELLS.shape)
    layer.scores.set_weights([np.array([[1.0, 0.0], [0.0, 0.0]])])
    layer.values.set_weights([np.stack([np.eye(2), 10 * np.eye(2)])])
    weights = np.exp([1, 0, 3, 0]) / np.exp([1, 0, 3, 0]).sum()
    first = weights @ CELLS.reshape(4, 2)
    np.testing.assert_allclose(layer(CELLS), [[*first, 10.0, 7.5]], rtol=1e-5)


def test_a_single_cell_is_its_own_average():
    layer = AttentivePooling(queries=2, units=4)
    layer.build((None, 1, 1, 2))
    layer.values.set_weights([np.stack([np.eye(2), 10 * np.eye(2)])])
    np.testing.assert_allclose(layer(np.array([[[[1.0, 2.0]]]])), [[1, 2, 10, 20]])


def test_products_of_channels_are_averaged_and_each_pair_comes_once():
    layer = BilinearPooling(channels=2)
    layer.build(CELLS.shape)
    layer.reduction.set_weights([np.eye(2), np.zeros(2)])
    np.testing.assert_allclose(layer(CELLS), [[10 / 4, 3 / 4, 5 / 4]])  # 00, 01, 11


@pytest.mark.parametrize("pooling", ENSEMBLE)
def test_what_is_pooled_has_batch_norm_behind_it(pooling):
    stack = keras.Sequential(pooling_layers(pooling))
    pooled = keras.ops.convert_to_numpy(stack(10 * features(64), training=True))
    np.testing.assert_allclose(pooled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(pooled.std(0), 1, atol=0.05)
    assert stack.compute_output_shape((None, *SHAPE)) == (None, pooled.shape[1])


@pytest.mark.parametrize("head", ["dropout", "linear", "abn"])
def test_an_ensemble_answers_with_the_mean_of_its_members_logits(head):
    model = head_of(head=head, seed=3)
    model.fit(features(), dict.fromkeys(model.branches, np.arange(6) % 3), verbose=0)
    seen = features(seed=1)
    if head == "abn":
        seen = seen * (1 + np.asarray(model.explain(seen)["attention_map"]))
    members = members_of(model, seen)
    assert members.shape == (6, len(ENSEMBLE), 3)
    assert np.ptp(members, axis=1).min() > 0  # no two alike
    outputs = model(features(seed=1), training=False)
    np.testing.assert_allclose(outputs["perception"], members.mean(1), atol=1e-5)


@pytest.mark.parametrize(("pooling", "share"), [("ensemble", 1 / 4), ("root", 1 / 2)])
def test_the_perception_branch_counts_as_often_as_it_has_classifiers(pooling, share, tmp_path):
    head = build_head(dataclasses.replace(CONFIG, head="abn", pooling=pooling), 3, SHAPE)
    random = np.random.default_rng(0)
    head.set_weights([random.uniform(0, 1, weight.shape) for weight in head.weights])
    probabilities = {
        name: np.exp(log_softmax(np.asarray(logits)))
        for name, logits in head(features(seed=1)).items()
    }
    attention, perception = probabilities["attention"], probabilities["perception"]
    expected = share * attention + (1 - share) * perception
    np.testing.assert_allclose(head.probabilities(features(seed=1)), expected, atol=1e-6)
    tiny_recognizer(head).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.head.probabilities(features(seed=1)), expected, atol=1e-6)


def test_in_training_each_member_has_a_loss_of_its_own():
    model = head_of(head="dropout")
    logits = np.asarray(model(features(), training=True)["perception"])
    labels = np.arange(6) % 3
    each = [-log_softmax(one)[range(6), labels].mean() for one in logits.swapaxes(0, 1)]
    found = SmoothedCrossentropy(0.0)(labels, logits)
    assert float(found) == pytest.approx(np.mean(each), rel=1e-5)
    mixed = 0.7 * np.eye(3)[labels] + 0.3 * np.eye(3)[(labels + 1) % 3]
    each = [-(mixed * log_softmax(one)).sum(1).mean() for one in logits.swapaxes(0, 1)]
    assert float(SmoothedCrossentropy(0.0)(mixed, logits)) == pytest.approx(np.mean(each), rel=1e-5)


def test_what_is_measured_in_training_is_the_ensemble_and_not_a_member():
    model = head_of(head="dropout", learning_rate=1e-9, optimizer="sgd")
    for layer in model.branch.members:
        kernel, bias = layer.layers[-1].get_weights()
        layer.layers[-1].set_weights([np.random.default_rng(1).normal(size=kernel.shape), bias])
    labels = np.arange(6) % 3
    mean = np.asarray(model(features(), training=True)["perception"]).mean(1)
    history = model.fit(features(), {"perception": labels}, batch_size=6, verbose=0).history
    assert history["accuracy"] == history["perception_accuracy"]
    assert history["accuracy"] == [pytest.approx((mean.argmax(1) == labels).mean())]
    expected = -log_softmax(mean)[range(6), labels].mean()
    assert history["cross_entropy"] == [pytest.approx(expected, rel=1e-4)]


def test_every_member_has_dropout_masks_of_its_own():
    for units in ((), (8, 8)):
        head = head_of(head="dropout", head_units=units, dropout=0.5, seed=4)
        seeds = [
            layer.seed
            for member in head.branch.members
            for layer in member.layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        assert len(set(seeds)) == len(seeds) == len(ENSEMBLE) * max(1, len(units))


def test_an_unknown_pooling_names_the_known_ones():
    with pytest.raises(ValueError, match="pooling must be one of flatten, average, root, attent"):
        pooling_layers("max")
