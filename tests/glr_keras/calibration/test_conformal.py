"""Conformal p-values, by hand."""

import numpy as np
import pytest
from scipy.stats import binom

from glr_keras.calibration.conformal import accepted_interval, is_accepted


def test_a_p_value_of_exactly_the_level_is_rejected():
    p = np.arange(1, 21) / 20  # of 19 validation photos
    np.testing.assert_array_equal(is_accepted(p, 19, 0.95), [False] + [True] * 19)
    np.testing.assert_array_equal(is_accepted(p, 19, 0.9), [False] * 2 + [True] * 18)


def test_too_few_validation_photos_reject_nothing():
    assert is_accepted(np.arange(1, 20) / 19, 18, 0.95).all()
    assert accepted_interval(18, 0.95) == [1.0, 1.0]


def test_the_interval_of_what_is_accepted_is_that_of_an_order_statistic():
    # At level .95, 99 validation photos: rejected is what is below the 5th lowest. That lies below
    # the quantile q with the chance that at least 5 of 99 do.
    low, high = accepted_interval(99, 0.95)
    assert 1 - binom.cdf(4, 99, 1 - low) == pytest.approx(0.975, abs=1e-6)
    assert 1 - binom.cdf(4, 99, 1 - high) == pytest.approx(0.025, abs=1e-6)
