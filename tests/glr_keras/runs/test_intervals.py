"""Intervals of fractions against a library's."""

import numpy as np
import pytest
from scipy.stats import binomtest

from glr_keras.runs.intervals import wilson_interval


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 5), (81, 263), (1, 1)])
def test_wilson_interval_is_scipy_s(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
    found = wilson_interval(np.array([successes]), np.array([trials]))
    np.testing.assert_allclose(found, [[expected.low, expected.high]], atol=1e-12)


def test_wilson_interval_of_nothing_is_everything():
    np.testing.assert_array_equal(wilson_interval(np.array([0]), np.array([0])), [[0, 1]])
