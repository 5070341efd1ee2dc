"""What moves the weights, against numbers worked out by hand."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
from plain_config import plain_config

from glr_keras.models.heads import build_head
from glr_keras.models.objective import (
    InPlaceSGD,
    SmoothedCrossentropy,
    make_loss,
    make_optimizer,
    make_schedule,
)

CONFIG = plain_config(learning_rate=0.5, epochs=4)
STEPS = 10  # per epoch
OPTIMIZERS = ["sgd", "adam", "adamw"]


def rates(steps, **settings):
    schedule = make_schedule(dataclasses.replace(CONFIG, **settings), STEPS)
    return [float(schedule(step)) for step in steps]


def optimizer_of(**settings):
    return make_optimizer(dataclasses.replace(CONFIG, **settings), STEPS)


def updated(optimizer, values, gradients):
    """Returns variables of these names and values after one step."""
    variables = [keras.Variable(value, name=name) for name, value in values.items()]
    optimizer.build(variables)
    gradients = [keras.ops.convert_to_tensor(g, "float32") for g in gradients]
    optimizer.apply(gradients, variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_a_constant_rate_is_a_number():
    assert make_schedule(CONFIG, STEPS) == 0.5
    assert float(optimizer_of().learning_rate) == 0.5


def test_warm_up_rises_in_equal_steps_and_reaches_the_rate_with_its_last():
    expected = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    assert rates([0, 1, 2, 3, 4, 5, 39], warmup_epochs=0.5) == pytest.approx(expected)


def test_cosine_falls_from_the_rate_to_0_over_all_steps():
    def cosine(step):
        return 0.25 * (1 + math.cos(math.pi * step / 40))

    steps = [0, 1, 10, 20, 39, 40, 50]
    expected = [0.5, cosine(1), cosine(10), 0.25, cosine(39), 0, 0]
    assert rates(steps, schedule="cosine") == pytest.approx(expected, abs=1e-7)


def test_cosine_after_a_warm_up_starts_at_its_end_and_ends_with_training():
    def cosine(step):
        return 0.25 * (1 + math.cos(math.pi * (step - 10) / 30))

    steps = [0, 9, 10, 11, 25, 39, 40]
    expected = [0.05, 0.5, 0.5, cosine(11), 0.25, cosine(39), 0]
    found = rates(steps, schedule="cosine", warmup_epochs=1.0)
    assert found == pytest.approx(expected, abs=1e-7)


def test_a_warm_up_of_all_epochs_leaves_no_step_to_cosine():
    assert rates([0, 39], schedule="cosine", warmup_epochs=4.0) == pytest.approx([0.0125, 0.5])


def test_steps_lower_the_rate_every_so_many_epochs():
    settings = {"schedule": "step", "step_epochs": 2, "step_factor": 0.1}
    found = rates([0, 19, 20, 39, 40], **settings)
    assert found == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005])


def test_steps_are_counted_from_the_end_of_a_warm_up():
    settings = {"schedule": "step", "step_epochs": 1, "step_factor": 0.5, "warmup_epochs": 0.5}
    found = rates([0, 4, 14, 15, 25], **settings)
    assert found == pytest.approx([0.1, 0.5, 0.5, 0.25, 0.125])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_a_schedule_comes_back_from_a_saved_model(schedule):
    optimizer = optimizer_of(schedule=schedule, warmup_epochs=1.0)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    schedules = [optimizer._learning_rate, again._learning_rate]
    assert type(schedules[0]) is type(schedules[1])
    for step in (0, 9, 10, 11, 39):
        first, second = (float(schedule(step)) for schedule in schedules)
        assert first == second > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", InPlaceSGD),
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
    ],
)
def test_the_optimizer_is_the_one_that_is_named(name, kind):
    optimizer = optimizer_of(optimizer=name, weight_decay=0.01, clip_norm=2.0, ema=0.9)
    assert type(optimizer) is kind
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.01, 2.0)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_what_is_not_asked_for_is_off(name):
    optimizer = optimizer_of(optimizer=name)
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (None, None)
    assert optimizer.use_ema is False


def test_sgd_has_the_momentum_that_is_set():
    optimizer = optimizer_of(momentum=0.5)
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    for expected in (-0.5, -1.25, -2.125):  # steps of 0.5, 0.75, 0.875
        optimizer.apply([keras.ops.ones(1)], [variable])
        assert float(variable[0]) == pytest.approx(expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_in_place_is_keras_own(momentum):
    random = np.random.default_rng(0)
    gradients = random.normal(size=(5, 3, 2)).astype("float32")
    settings = {"learning_rate": 0.1, "momentum": momentum, "weight_decay": 0.1}
    found = []
    for optimizer in (InPlaceSGD(**settings), keras.optimizers.SGD(**settings)):
        variable = keras.Variable(np.ones((3, 2), "float32"))
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        found.append(keras.ops.convert_to_numpy(variable))
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert np.abs(found[0] - 1).max() > 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_takes_its_share_of_kernels_and_leaves_shifts_and_scales(name):
    values = {"kernel": [2.0], "bias": [2.0], "gamma": [2.0], "beta": [2.0]}
    optimizer = optimizer_of(optimizer=name, weight_decay=0.1)
    kernel, *others = updated(optimizer, values, [[0.0]] * 4)
    assert kernel == pytest.approx(2 * (1 - 0.5 * 0.1))
    assert others == [[2.0]] * 3


@pytest.mark.parametrize("name", ["abn", "dropout"])
def test_weight_decay_finds_every_kernel_of_a_head(name):
    config = plain_config(head=name, head_units=(4,), attention_channels=3, weight_decay=0.1)
    head = build_head(config, 3, (2, 2, 4))
    optimizer = make_optimizer(config, STEPS)
    optimizer.build(head.trainable_variables)
    decayed = {v.path for v in head.trainable_variables if optimizer._use_weight_decay(v)}
    assert decayed == {v.path for v in head.trainable_variables if len(v.shape) > 1}
    assert len(decayed) == {"abn": 7, "dropout": 2}[name]


def test_clip_norm_bounds_all_gradients_together():
    values = {"a": [0.0], "b": [0.0, 0.0]}
    gradients = [[2.0], [1.0, 2.0]]  # of norm 3
    settings = {"learning_rate": 1.0, "momentum": 0.0}
    for clip_norm, factor in ((0.0, 1), (1.5, 1 / 2), (3.5, 1)):
        optimizer = optimizer_of(clip_norm=clip_norm, **settings)
        a, b = updated(optimizer, values, gradients)
        np.testing.assert_allclose(np.concatenate([a, b]), np.array([-2, -1, -2]) * factor, 1e-6)


def random_logits(scale=3.0):
    return (np.random.default_rng(0).normal(size=(20, 7)) * scale).astype("float32")


LABELS = np.random.default_rng(1).integers(0, 7, 20)


@pytest.mark.parametrize("smoothing", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 20, dtype="float32")])
def test_smoothed_cross_entropy_is_that_of_smoothed_one_hot_labels(smoothing, weights):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    expected = float(theirs(np.eye(7, dtype="float32")[LABELS], random_logits(), weights))
    found = float(SmoothedCrossentropy(smoothing)(LABELS, random_logits(), weights))
    assert found == pytest.approx(expected, rel=1e-6)


def test_smoothed_cross_entropy_of_sure_predictions_is_finite():
    found = float(SmoothedCrossentropy(0.1)(LABELS, random_logits(1e4)))
    assert math.isfinite(found)


def test_the_loss_is_cross_entropy_of_logits_unless_it_is_smoothed():
    plain = make_loss(CONFIG)
    assert type(plain) is keras.losses.SparseCategoricalCrossentropy
    logits = np.array([[0.0, math.log(3)]], "float32")
    assert float(plain(np.array([1]), logits)) == pytest.approx(math.log(4 / 3))
    smoothed = make_loss(dataclasses.replace(CONFIG, label_smoothing=0.2))
    expected = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    assert float(smoothed(np.array([1]), logits)) == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_the_loss_of_mixed_photos_takes_distributions_and_of_others_labels(smoothing):
    loss = make_loss(dataclasses.replace(CONFIG, mixup=0.3, label_smoothing=smoothing))
    labels = np.eye(7, dtype="float32")[LABELS]
    mixed = 0.7 * labels + 0.3 * np.roll(labels, 1, axis=0)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    for targets, distributions in ((mixed, mixed), (LABELS, labels)):
        found, expected = loss(targets, random_logits()), theirs(distributions, random_logits())
        assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_the_smoothed_loss_comes_back_from_a_saved_model():
    loss = SmoothedCrossentropy(0.3)
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert type(again) is SmoothedCrossentropy
    assert (again.smoothing, again.name) == (0.3, "smoothed_crossentropy")
