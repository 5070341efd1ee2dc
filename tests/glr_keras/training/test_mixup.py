"""Training batches whose photos are mixed with each other."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.training.mixup import mix_batches

CONFIG = FitConfig(mixup=0.3, seed=1)
LANDMARKS, BATCH = 10, 5
WEIGHTS = np.linspace(0.5, 2, LANDMARKS, dtype="float32")


def batches_of(steps, outputs=("attention", "perception"), weights=None):
    """Batches of 5 photos of as many landmarks; a photo's features are 2 x 2 times its label."""
    for step in range(*steps):
        labels = (np.arange(BATCH) + step) % LANDMARKS
        features = np.broadcast_to(labels[:, None, None, None], (BATCH, 2, 2, 1))
        batch = [features.astype("float16"), dict.fromkeys(outputs, labels)]
        if weights is not None:
            batch.append(dict.fromkeys(outputs, weights[labels]))
        yield tuple(batch)


def mixed(first=0, last=8, config=CONFIG, weights=None):
    batches = list(batches_of((first, last), weights=weights))
    slices = [tf.data.Dataset.from_tensors(batch) for batch in batches]
    dataset = slices[0]
    for one in slices[1:]:
        dataset = dataset.concatenate(one)
    return [
        tuple(part.numpy() if hasattr(part, "numpy") else part["perception"].numpy() for part in b)
        for b in mix_batches(dataset, first, config, LANDMARKS)
    ]


def test_features_and_labels_are_mixed_alike_and_most_of_each_photo_stays():
    for step, (features, targets) in enumerate(mixed()):
        labels = (np.arange(BATCH) + step) % LANDMARKS
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        assert (targets[range(BATCH), labels] >= 0.5).all()
        assert (np.count_nonzero(targets, axis=1) <= 2).all()
        values = targets @ np.arange(LANDMARKS)
        np.testing.assert_allclose(features, np.tile(values[:, None, None, None], (2, 2, 1)), 1e-5)
        assert features.dtype == "float32"


def test_photos_are_mixed_by_fractions_of_their_own():
    parts = np.array([targets.max(1) for _, targets in mixed()])
    assert len(set(parts.round(6).ravel())) > BATCH
    assert parts.min() < 0.8


@pytest.mark.parametrize("step", [1, 5, 7])
def test_from_any_step_on_the_same_is_drawn(step):
    for found, expected in zip(mixed(first=step), mixed()[step:], strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_another_seed_draws_otherwise():
    other = mixed(config=dataclasses.replace(CONFIG, seed=2))
    assert any((one[1] != two[1]).any() for one, two in zip(mixed(), other, strict=True))


def test_the_weights_of_both_photos_count():
    plain = mixed()
    for (_, targets), (_, weighted, weights) in zip(plain, mixed(weights=WEIGHTS), strict=True):
        np.testing.assert_allclose(weighted.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(weights[:, None] * weighted, targets * WEIGHTS, rtol=1e-5)


def test_without_mixup_batches_stay_as_they_are():
    dataset = tf.data.Dataset.from_tensors(next(batches_of((0, 1))))
    assert mix_batches(dataset, 0, dataclasses.replace(CONFIG, mixup=0), LANDMARKS) is dataset
