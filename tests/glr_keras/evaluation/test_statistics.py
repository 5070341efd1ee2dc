"""Statistics against numbers worked out by hand, or by a library."""

import numpy as np
import pytest

from glr_keras.evaluation.statistics import (
    expected_calibration_error,
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
