"""Bootstrap intervals."""

import numpy as np
import pytest

from glr_keras.saliency.bootstrap import bootstrap_interval


def test_the_interval_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert (low, high) == bootstrap_interval(values)
    assert (low, high) != bootstrap_interval(values, seed=1)


def test_pairs_are_compared_photo_by_photo():
    photos = np.random.default_rng(0).normal(0, 5, 100)
    low, high = bootstrap_interval((photos + 0.1) - photos)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)


def test_photos_that_were_not_measured_are_left_out():
    values = np.array([1.0, 2.0, np.nan, 4.0, 3.0, 5.0, 9.0])
    assert bootstrap_interval(values) == bootstrap_interval(values[~np.isnan(values)])


def test_five_photos_have_no_interval():
    assert np.isnan(bootstrap_interval(np.arange(5.0))).all()
    assert not np.isnan(bootstrap_interval(np.arange(6.0))).any()
