"""Statistics against numbers worked out by hand, or by a library."""

import numpy as np
import pytest

from glr_keras.evaluation.statistics import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    mcnemar,
)


def test_calibration_error_by_hand():
    # Bins (.8, .8667] with accuracy 1/2 and mean score .85, and (.9333, 1] with 1 and .95.
    scores, correct = np.array([0.85, 0.85, 0.95]), np.array([True, False, True])
    expected = 2 / 3 * 0.35 + 1 / 3 * 0.05
    assert expected_calibration_error(scores, correct) == pytest.approx(expected, abs=1e-12)


def test_a_score_on_the_edge_belongs_to_the_bin_below_and_0_and_1_to_the_outer_ones():
    # 1/15 and .01 share the first bin, where their errors cancel; 1.0 is exact.
    scores, correct = np.array([0.06, 0.0, 1.0]), np.array([False, False, True])
    assert expected_calibration_error(scores, correct) == pytest.approx(0.06 / 3, abs=1e-12)


def test_temperature_1_changes_nothing_and_a_high_one_flattens():
    log_probabilities = np.log(np.array([[0.8, 0.2]]))
    np.testing.assert_allclose(apply_temperature(log_probabilities, 1.0), log_probabilities)
    # Proportional to the square roots 2 : 1.
    found = np.exp(apply_temperature(log_probabilities, 2.0))
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3]], atol=1e-12)


def test_the_temperature_makes_scores_as_high_as_the_accuracy():
    # Answers with odds 9 : 1, of which 3 in 4 are correct: odds 3 : 1 are 9 ** (1 / 2).
    log_probabilities = np.log(np.array([[0.9, 0.1]] * 4))
    temperature = fit_temperature(log_probabilities, np.array([0, 0, 0, 1]))
    assert temperature == pytest.approx(2.0, rel=1e-4)


def test_mcnemar_by_hand():
    first = np.array([True] * 5 + [False] * 3)
    second = np.array([True] + [False] * 4 + [False, False, True])
    # 4 photos for the first, 1 for the second: 2 x (C(5,0) + C(5,1)) / 2**5.
    assert mcnemar(first, second) == {
        "both": 1,
        "only_first": 4,
        "only_second": 1,
        "neither": 2,
        "p_value": pytest.approx(2 * 6 / 32),
    }


def test_mcnemar_of_equal_answers_decides_nothing():
    same = np.array([True, False])
    assert mcnemar(same, same)["p_value"] == 1.0
