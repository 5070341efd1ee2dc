"""The streaming metric against hand-worked numbers and the exact score."""

import keras
import numpy as np
import pytest

import glr_keras
from glr_keras.models.streaming import GlobalAveragePrecision
from glr_keras.runs.metrics import global_average_precision


def score(labels, probabilities, batch=2, **settings):
    metric = GlobalAveragePrecision(**settings)
    labels, probabilities = np.array(labels), np.array(probabilities, np.float32)
    for start in range(0, len(labels), batch):
        metric.update_state(labels[start : start + batch], probabilities[start : start + batch])
    return float(metric.result())


def test_misses_by_hand():
    # By score: .9 correct, .7 wrong, .6 correct, over 3 photos.
    probabilities = [[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]]
    assert score([0, 0, 0], probabilities) == pytest.approx((1 + 2 / 3) / 3, abs=1e-6)


def test_photos_without_a_landmark_lower_the_precision_and_not_the_divisor():
    # By score: .9 without a landmark, .7 correct, .6 without one: precision 1/2, over 1 photo.
    probabilities = [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]]
    assert score([-1, 1, -1], probabilities) == pytest.approx(1 / 2, abs=1e-6)


def test_ties_share_the_precision_of_their_end():
    # Four scores of .8, two correct: each has 2/4.
    assert score([0, 1, 0, 1], [[0.8, 0.2]] * 4) == pytest.approx(2 * (2 / 4) / 4, abs=1e-6)


def test_no_photos_and_no_landmarks_are_0():
    assert float(GlobalAveragePrecision().result()) == 0.0
    assert score([-1], [[0.9, 0.1]]) == 0.0


def test_logits_stay_apart_where_probabilities_are_1():
    logits = [[19.06, 0.0], [19.0, 0.0], [0.0, 17.0]]
    # By log-odds: 19.06 correct, 19 wrong, 17 correct.
    expected = pytest.approx((1 + 2 / 3) / 3, abs=1e-6)
    assert score([0, 1, 1], logits, from_logits=True) == expected


@pytest.mark.parametrize("from_logits", [False, True])
def test_it_agrees_with_the_exact_score(from_logits):
    random = np.random.default_rng(0)
    labels = random.integers(-1, 20, 2000)
    logits = random.normal(size=(2000, 20)) + 2 * np.eye(20)[labels] * (labels >= 0)[:, None]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    exact = global_average_precision(
        probabilities.argmax(1) == labels,
        probabilities.max(1),
        [f"{number:04}" for number in range(2000)],
        (labels >= 0).sum(),
    )
    found = score(labels, logits if from_logits else probabilities, 128, from_logits=from_logits)
    assert 0.2 < exact < 0.9
    assert found == pytest.approx(exact, abs=1e-3)


def test_it_starts_over_and_is_saved_with_its_setting():
    metric = glr_keras.GlobalAveragePrecision(from_logits=True)
    metric.update_state(np.array([0]), np.array([[1.0, 0.0]], np.float32))
    assert float(metric.result()) == 1.0
    metric.reset_state()
    assert float(metric.result()) == 0.0
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (type(again), again.from_logits) == (GlobalAveragePrecision, True)


def test_it_works_in_fit():
    model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[GlobalAveragePrecision()])
    photos, labels = np.eye(2, dtype=np.float32), np.array([[0], [1]])
    history = model.fit(photos, labels, verbose=0).history
    assert 0 <= history["global_average_precision"][0] <= 1


def test_weights_are_refused():
    with pytest.raises(ValueError, match="a photo counts once"):
        GlobalAveragePrecision().update_state([0], [[1.0, 0.0]], sample_weight=[2.0])
