"""Scores that tell known landmarks from other places, by hand."""

import numpy as np
import pytest
from scipy.stats import binom

from glr_keras.evaluation.rejection import (
    accepted_interval,
    auroc,
    false_positives,
    is_accepted,
    p_values,
)


def test_p_values_count_the_validation_photos_that_are_not_higher():
    calibration = np.array([0.5, 0.9, 0.7])
    found = p_values(calibration, np.array([0.4, 0.5, 0.6, 0.7, 1.0]))
    np.testing.assert_array_equal(found, np.array([1, 2, 2, 3, 4]) / 4)


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


def test_auroc_counts_pairs_and_half_of_ties():
    # 3 > 2, 3 > 1, 1 < 2, 1 = 1.
    assert auroc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (2 + 0.5) / 4


def test_false_positives_are_counted_where_95_percent_of_known_photos_pass():
    known = np.arange(20.0)  # 19 of them are at least 1
    assert false_positives(known, np.array([0.5, 1.0, 1.5, -3.0])) == 0.5
