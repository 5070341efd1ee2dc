"""Scores that tell known landmarks from other places, by hand."""

import numpy as np
import pytest

from glr_keras.evaluation.rejection import (
    auroc,
    auroc_interval,
    average_precision,
    false_positives,
)


def test_auroc_counts_pairs_and_half_of_ties():
    # 3 > 2, 3 > 1, 1 < 2, 1 = 1.
    assert auroc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (2 + 0.5) / 4


def test_false_positives_are_counted_where_95_percent_of_known_photos_pass():
    known = np.arange(20.0)  # 19 of them are at least 1
    assert false_positives(known, np.array([0.5, 1.0, 1.5, -3.0])) == 0.5


def test_average_precision_is_the_mean_precision_down_to_each_known_photo():
    # 4 is alone above; down to 2 there are 4, 3, 2, 2 and half of them are known.
    found = average_precision(np.array([4.0, 2.0]), np.array([3.0, 2.0, 1.0]))
    assert found == (1 / 1 + 2 / 4) / 2


def test_the_interval_of_the_auroc_has_delong_s_variance():
    # Wins of known photos 1, .5 and of others .5, 1: variances 1/16 each, over 2 photos each.
    low, high = auroc_interval(np.array([3.0, 1.0]), np.array([2.0, 0.0]))
    assert high == 1
    assert low == pytest.approx(0.75 - 1.959964 * 0.25, abs=1e-6)
