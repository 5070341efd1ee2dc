"""What is measured, by numbers small enough to check by hand."""

import math

import numpy as np
import pytest

from glr_keras.runs.metrics import (
    SplitMetrics,
    confusion_matrix,
    global_average_precision,
    log_softmax,
    most_confused,
    ranks,
)


def score(correct, scores, photo_ids):
    return global_average_precision(np.array(correct), np.array(scores), photo_ids)


def test_global_average_precision_by_hand():
    # By score: correct, wrong, correct, wrong -> precisions 1/1 and 2/3, over 4 photos.
    correct, scores = [False, True, True, False], [0.2, 0.5, 0.9, 0.7]
    assert score(correct, scores, list("abcd")) == pytest.approx((1 + 2 / 3) / 4, abs=1e-15)


def test_photos_without_a_landmark_stay_in_the_list_and_out_of_the_divisor():
    # By score: correct, no landmark, correct -> precisions 1/1 and 2/3, over 2 photos.
    correct, scores = np.array([True, False, True]), np.array([0.9, 0.8, 0.7])
    found = global_average_precision(correct, scores, list("abc"), with_landmark=2)
    assert found == pytest.approx((1 + 2 / 3) / 2, abs=1e-15)


def test_global_average_precision_of_no_landmark_is_undefined():
    found = global_average_precision(np.array([False]), np.array([0.9]), ["a"], with_landmark=0)
    assert math.isnan(found)


def test_sure_mistakes_cost_more_than_unsure_ones():
    assert score([True, False], [0.9, 0.1], ["a", "b"]) == 0.5
    assert score([False, True], [0.9, 0.1], ["a", "b"]) == 0.25


def test_ties_go_by_photo_id_whatever_the_order_of_the_photos():
    # a (wrong) before b (correct): precision 1/2, over 2 photos.
    assert score([True, False], [0.5, 0.5], ["b", "a"]) == 0.25
    assert score([False, True], [0.5, 0.5], ["a", "b"]) == 0.25
    assert score([True, False], [0.5, 0.5], ["a", "b"]) == 0.5


def test_ids_break_ties_as_text():
    # "10" comes before "9": correct first.
    assert score([False, True], [0.5, 0.5], ["9", "10"]) == 0.5


def test_all_correct_is_1_and_all_wrong_is_0():
    scores, ids = [0.1, 0.9, 0.5], ["a", "b", "c"]
    assert score([True] * 3, scores, ids) == 1.0
    assert score([False] * 3, scores, ids) == 0.0


def test_ranks_count_the_landmarks_that_are_before_the_photo_s_own():
    logits = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 0.0, 2.0]])
    np.testing.assert_array_equal(ranks(logits, np.array([1, 0, 1])), [1, 3, 0])


def test_ties_go_to_the_lower_label():
    np.testing.assert_array_equal(ranks(np.zeros((4, 4), np.float32), np.arange(4)), range(4))


def test_ranks_are_those_of_a_stable_sort():
    random = np.random.default_rng(0)
    logits, labels = (
        random.integers(0, 9, (200, 30)).astype(np.float32),
        random.integers(0, 30, 200),
    )
    order = np.argsort(-logits, axis=1, kind="stable")
    np.testing.assert_array_equal(ranks(logits, labels), (order == labels[:, None]).argmax(1))


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


def test_most_confused_pairs_come_by_photos_and_then_by_label():
    shown, predicted = np.array([2, 2, 0, 1, 1, 0, 0]), np.array([1, 1, 2, 0, 0, 1, 0])
    pairs = most_confused(shown, predicted, list("abc"), count=3)
    assert [tuple(pair.values()) for pair in pairs] == [("b", "a", 2), ("c", "b", 2), ("a", "b", 1)]
    assert most_confused(shown, shown, list("abc")) == []


def test_measure_by_hand():
    def logits(*probabilities):
        return np.log(np.array(probabilities, np.float32))

    outputs = {
        "perception": logits([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]),
        "attention": logits([0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]),
    }
    outputs[""] = outputs["perception"]  # the answer
    labels = np.array([0, 1, 0])
    metrics = SplitMetrics()
    for batch in (slice(0, 2), slice(2, 3)):
        metrics.update({name: values[batch] for name, values in outputs.items()}, labels[batch])
    result = metrics.result(["a", "b", "c"], ["arch", "bridge", "castle"])
    assert result.pop("most_confused") == [
        {"landmark": "bridge", "predicted": "castle", "photos": 1}
    ]
    assert result.pop("per_landmark") == {
        "arch": {"accuracy": 1.0, "photos": 2},
        "bridge": {"accuracy": 0.0, "photos": 1},
    }
    assert result == pytest.approx(
        {
            "photos": 3,
            "accuracy": 2 / 3,
            "top5_accuracy": 1.0,
            "loss": -math.log(0.7 * 0.3 * 0.5) / 3,
            # By score .7 correct, .6 wrong, .5 correct.
            "global_average_precision": (1 + 2 / 3) / 3,
            "attention_accuracy": 2 / 3,
            "attention_top5_accuracy": 1.0,
            "attention_loss": -math.log(0.1 * 0.7 * 0.5) / 3,
            # By score .8 wrong, .7 correct, .5 correct.
            "attention_global_average_precision": (1 / 2 + 2 / 3) / 3,
            "perception_accuracy": 2 / 3,
            "perception_top5_accuracy": 1.0,
            "perception_loss": -math.log(0.7 * 0.3 * 0.5) / 3,
            "perception_global_average_precision": (1 + 2 / 3) / 3,
        },
        rel=1e-6,
    )


def test_measure_of_a_head_with_one_output():
    logits = np.array([[0.0, 1.0, 0.5, 0.2, 0.1, -1.0]], np.float32)
    metrics = SplitMetrics()
    metrics.update({"": logits, "perception": logits}, np.array([5]))
    result = metrics.result(["a"], list("abcdef"))
    assert set(result) == {
        "photos",
        "per_landmark",
        "most_confused",
        *("accuracy", "top5_accuracy", "loss", "global_average_precision"),
        *("perception_accuracy", "perception_top5_accuracy", "perception_loss"),
        "perception_global_average_precision",
    }
    assert result["top5_accuracy"] == 0.0
    assert result["global_average_precision"] == 0.0
