"""Two models on the same photos, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from glr_keras.evaluation.answers import NO_LANDMARK, AnswerCollector
from glr_keras.evaluation.comparing import check_same_landmarks, compare
from glr_keras.evaluation.evaluating import Evaluation
from glr_keras.evaluation.sources import ANSWER
from tfrecords.common.console import UserError

NAMES = ["arch", "bridge"]


def evaluation(photos, labels, predicted):
    collector = AnswerCollector()
    logits = np.log(np.where(np.eye(2)[predicted], 0.75, 0.25))
    collector.update(list(photos), np.array(labels), logits)
    model = SimpleNamespace(path="run", landmarks=NAMES, failed=[])
    return Evaluation(model, "test", {ANSWER: collector.answers}, from_features=True)


def test_photos_are_paired_by_name_and_those_that_one_could_not_read_left_out():
    first = evaluation("abcde", [0, 0, 1, 1, NO_LANDMARK], [0, 1, 1, 0, 0])
    second = evaluation("dbae", [1, 0, 0, NO_LANDMARK], [1, 1, 1, 1])
    comparison = compare(first, second)
    assert comparison.photos == ["a", "b", "d"]
    np.testing.assert_array_equal(comparison.predicted, [[0, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(comparison.changed, [0, 2])
    np.testing.assert_allclose(comparison.scores, 0.75)
    counted = {"both": 0, "only_first": 1, "only_second": 1, "neither": 1, "p_value": 1.0}
    assert comparison.test == counted


def test_photos_without_labels_are_not_compared():
    one = evaluation("a", [NO_LANDMARK], [0])
    with pytest.raises(UserError, match="compared on photos with labels"):
        compare(one, one)


def test_models_of_other_landmarks_are_refused():
    first = SimpleNamespace(path="runs/a", landmarks=["arch", "bridge"])
    second = SimpleNamespace(path="runs/b", landmarks=["bridge", "castle"])
    with pytest.raises(UserError, match=r"1 that only runs/a knows \(arch\); 1 that only runs/b"):
        check_same_landmarks(first, second)
    check_same_landmarks(first, first)


def test_the_same_landmarks_in_another_order_are_refused():
    first = SimpleNamespace(path="runs/a", landmarks=["arch", "bridge"])
    second = SimpleNamespace(path="runs/b", landmarks=["bridge", "arch"])
    with pytest.raises(UserError, match="the same ones in another order"):
        check_same_landmarks(first, second)
