"""McNemar's test against numbers worked out by hand."""

import numpy as np
import pytest

from glr_keras.evaluation.mcnemar import mcnemar


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
