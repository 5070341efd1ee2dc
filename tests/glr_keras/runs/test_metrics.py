"""What is measured, by numbers small enough to check by hand."""

import math

import numpy as np
import pytest

from glr_keras.runs.metrics import (
    confusion_matrix,
    global_average_precision,
    log_softmax,
    measure,
    top_accuracy,
)


def score(right, scores, photo_ids):
    return global_average_precision(np.array(right), np.array(scores), photo_ids)


def test_global_average_precision_by_hand():
    # By score: right, wrong, right, wrong -> precisions 1/1 and 2/3, over 4 photos.
    right, scores = [False, True, True, False], [0.2, 0.5, 0.9, 0.7]
    assert score(right, scores, list("abcd")) == pytest.approx((1 + 2 / 3) / 4, abs=1e-15)


def test_sure_mistakes_cost_more_than_unsure_ones():
    assert score([True, False], [0.9, 0.1], ["a", "b"]) == 0.5
    assert score([False, True], [0.9, 0.1], ["a", "b"]) == 0.25


def test_ties_go_by_photo_id_whatever_the_order_of_the_photos():
    # a (wrong) before b (right): precision 1/2, over 2 photos.
    assert score([True, False], [0.5, 0.5], ["b", "a"]) == 0.25
    assert score([False, True], [0.5, 0.5], ["a", "b"]) == 0.25
    assert score([True, False], [0.5, 0.5], ["a", "b"]) == 0.5


def test_ids_break_ties_as_text():
    # "10" comes before "9": right first.
    assert score([False, True], [0.5, 0.5], ["9", "10"]) == 0.5


def test_all_right_is_1_and_all_wrong_is_0():
    scores, ids = [0.1, 0.9, 0.5], ["a", "b", "c"]
    assert score([True] * 3, scores, ids) == 1.0
    assert score([False] * 3, scores, ids) == 0.0


def test_top_accuracy_counts_photos_whose_landmark_is_among_the_best():
    logits = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 0.0, 2.0]])
    labels = np.array([1, 0, 1])
    assert top_accuracy(logits, labels, 1) == pytest.approx(1 / 3)
    assert top_accuracy(logits, labels, 2) == pytest.approx(2 / 3)
    assert top_accuracy(logits, labels, 4) == 1.0


def test_ties_go_to_the_lower_label():
    logits = np.zeros((4, 4), np.float32)
    assert [top_accuracy(logits, np.arange(4), k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


def test_more_places_than_landmarks_are_all_of_them():
    assert top_accuracy(np.array([[0.0, 1.0, 2.0]]), np.array([0]), 5) == 1.0


def test_log_softmax_by_hand():
    logits = np.log(np.array([[1.0, 2.0, 5.0]], np.float32))
    np.testing.assert_allclose(np.exp(log_softmax(logits)), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)
    assert log_softmax(logits).dtype == np.float64


def test_log_softmax_stays_finite_at_extreme_logits():
    logits = np.array([[1e4, 0.0, -1e4], [-1e30, -1e30, -1e30]], np.float32)
    np.testing.assert_array_equal(log_softmax(logits)[0], [0.0, -1e4, -2e4])
    np.testing.assert_allclose(log_softmax(logits)[1], -math.log(3))


def test_confusion_matrix_counts_shown_by_row_and_predicted_by_column():
    shown, predicted = np.array([0, 0, 0, 2, 2]), np.array([0, 1, 1, 2, 0])
    matrix = confusion_matrix(shown, predicted, 4)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[1, 2, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])


def test_measure_by_hand():
    def logits(*probabilities):
        return np.log(np.array(probabilities, np.float32))

    outputs = {
        "perception": logits([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]),
        "attention": logits([0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]),
    }
    labels = np.array([0, 1, 0])
    result = measure(outputs, labels, ["a", "b", "c"], ["arch", "bridge", "castle"])
    assert result.pop("per_landmark") == {
        "arch": {"accuracy": 1.0, "photos": 2},
        "bridge": {"accuracy": 0.0, "photos": 1},
    }
    assert result == pytest.approx(
        {
            "photos": 3,
            "attention_accuracy": 2 / 3,
            "attention_top5_accuracy": 1.0,
            "attention_loss": -math.log(0.1 * 0.7 * 0.5) / 3,
            # By score .8 wrong, .7 right, .5 right.
            "attention_global_average_precision": (1 / 2 + 2 / 3) / 3,
            "perception_accuracy": 2 / 3,
            "perception_top5_accuracy": 1.0,
            "perception_loss": -math.log(0.7 * 0.3 * 0.5) / 3,
            # By score .7 right, .6 wrong, .5 right.
            "perception_global_average_precision": (1 + 2 / 3) / 3,
        },
        rel=1e-6,
    )


def test_measure_of_a_head_with_one_output():
    logits = np.array([[0.0, 1.0, 0.5, 0.2, 0.1, -1.0]], np.float32)
    result = measure({"perception": logits}, np.array([5]), ["a"], list("abcdef"))
    assert set(result) == {
        "photos",
        "perception_accuracy",
        "perception_top5_accuracy",
        "perception_loss",
        "perception_global_average_precision",
        "per_landmark",
    }
    assert result["perception_top5_accuracy"] == 0.0
    assert result["perception_global_average_precision"] == 0.0
