"""What is measured of answers, by arrays small enough to check by hand."""

import math
import tracemalloc

import numpy as np
import pytest

from glr_keras.evaluation.answers import (
    NO_LANDMARK,
    UNLABELLED,
    AnswerCollector,
    Columns,
    confused_pairs,
    global_average_precision_with,
    measure,
    measure_landmarks,
)

NAMES = ["arch", "bridge", "castle"]


def collect(probabilities, labels, temperature=None, batch=2):
    collector = AnswerCollector(temperature)
    logits, labels = np.log(np.array(probabilities)), np.array(labels)
    photos = [f"photo-{number}" for number in range(len(labels))]
    for start in range(0, len(labels), batch):
        rows = slice(start, start + batch)
        collector.update(photos[rows], labels[rows], logits[rows])
    return collector.answers


@pytest.fixture
def answers():
    """Two photos of the arch, one of the bridge, one of another place, one of who knows what."""
    probabilities = [
        [0.7, 0.2, 0.1],
        [0.1, 0.6, 0.3],
        [0.2, 0.5, 0.3],
        [0.05, 0.9, 0.05],
        [0.0625, 0.875, 0.0625],
    ]
    return collect(probabilities, [0, 0, 1, NO_LANDMARK, UNLABELLED])


def test_measures_by_hand(answers):
    result = measure(answers, 3)
    assert result.pop("accuracy_interval") == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert result == pytest.approx(
        {
            "photos": 3,
            "accuracy": 2 / 3,
            "macro_accuracy": (1 / 2 + 1) / 2,
            "top5_accuracy": 1.0,
            # By score: .9 of another place, .7 correct, .6 wrong, .5 correct.
            "global_average_precision": (1 / 2 + 2 / 4) / 3,
            "log_loss": -math.log(0.7 * 0.1 * 0.5) / 3,
            "calibration_error": (0.3 + 0.6 + 0.5) / 3,
        },
        rel=1e-9,
    )


def test_a_photo_of_another_place_lowers_precision_and_no_recall(answers):
    arch, bridge = measure_landmarks(answers, NAMES)
    assert (arch["photos"], arch["answers"], arch["correct"]) == (2, 1, 1)
    assert (arch["recall"], arch["precision"]) == (0.5, 1.0)
    assert (bridge["photos"], bridge["answers"], bridge["correct"]) == (1, 3, 1)
    assert (bridge["recall"], bridge["precision"]) == (1.0, pytest.approx(1 / 3))
    assert bridge["recall_interval"] == pytest.approx([0.2065, 1.0], abs=1e-4)


def test_a_landmark_that_was_only_named_has_no_recall():
    (arch, castle) = measure_landmarks(collect([[0.1, 0.2, 0.7]], [0]), NAMES)
    assert (arch["recall"], arch["precision"]) == (0.0, None)
    assert (castle["recall"], castle["precision"], castle["answers"]) == (None, 0.0, 1)


def test_only_photos_with_landmarks_can_be_confused(answers):
    assert confused_pairs(answers, NAMES) == [
        {"landmark": "arch", "predicted": "bridge", "photos": 1}
    ]


def test_batches_change_nothing():
    probabilities, labels = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]], [0, 1, 2]
    results = [measure(collect(probabilities, labels, 1.5, batch), 3) for batch in (1, 2, 3)]
    assert results[0] == results[1] == results[2]


def test_equal_scores_go_to_the_lower_label():
    answers = collect([[0.25, 0.5, 0.25], [1 / 3, 1 / 3, 1 / 3]], [2, 0])
    np.testing.assert_array_equal(answers.best, [[1, 0, 2], [0, 1, 2]])
    np.testing.assert_array_equal(answers.correct, [False, True])


def test_the_temperature_scales_scores_and_loss_and_no_answer():
    plain, scaled = (collect([[0.8, 0.2]], [1], temperature) for temperature in (None, 2.0))
    result = measure(scaled, 2)
    assert (plain.predicted, plain.raw_score) == (scaled.predicted, scaled.raw_score)
    assert (plain.scores[0, 0], scaled.scores[0, 0]) == pytest.approx((0.8, 2 / 3))
    # Square roots: 2 : 1.
    assert result["scaled_log_loss"] == pytest.approx(math.log(3))
    assert result["scaled_calibration_error"] == pytest.approx(2 / 3)
    assert result["log_loss"] == pytest.approx(-math.log(0.2))
    assert "scaled_log_loss" not in measure(plain, 2)


def test_a_photo_costs_few_bytes():
    photos = [f"a/long/path/to/one/of/very/many/photos/{number:06}.jpg" for number in range(12_800)]
    logits = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    collector = AnswerCollector()
    tracemalloc.start()
    for start in range(0, len(photos), 32):
        collector.update(photos[start : start + 32], np.zeros(32, np.int64), logits)
        collector.update_rejection({"energy": logits[:, 0]}, logits[:, 1])
    global_average_precision_with(collector.answers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 101 bytes of numbers, 8 of the scores, 8 of the list of names; the order by score takes 8 of
    # these and as many again.
    assert peak / len(photos) < 250


def test_rows_of_another_type_are_no_rows():
    columns = Columns()
    columns.extend({"loss": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match=r"Expected rows of float32 \(3,\) for loss, got float64"):
        columns.extend({"loss": np.zeros((2, 3))})
