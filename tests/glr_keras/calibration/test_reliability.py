"""Calibration against numbers worked out by hand."""

import numpy as np
import pytest

from glr_keras.calibration.reliability import (
    expected_calibration_error,
    measure_calibration,
    reliability,
)
from glr_keras.calibration.score_histogram import BINS, score_histogram


def test_calibration_error_by_hand():
    # Bins (.8, .8667] with accuracy 1/2 and mean score .85, and (.9333, 1] with 1 and .95.
    scores, correct = np.array([0.85, 0.85, 0.95]), np.array([True, False, True])
    expected = 2 / 3 * 0.35 + 1 / 3 * 0.05
    assert expected_calibration_error(scores, correct) == pytest.approx(expected, abs=1e-12)


def test_a_score_on_the_edge_belongs_to_the_bin_below_and_0_and_1_to_the_outer_ones():
    # 1/15 and .01 share the first bin, where their errors cancel; 1.0 is exact.
    scores, correct = np.array([0.06, 0.0, 1.0]), np.array([False, False, True])
    assert expected_calibration_error(scores, correct) == pytest.approx(0.06 / 3, abs=1e-12)


def test_bins_say_how_many_photos_are_how_sure_and_how_often_correct():
    scores, correct = np.array([0.85, 0.81, 0.95]), np.array([True, False, True])
    first, second = reliability(scores, correct)
    assert first == {"photos": 2, "score": pytest.approx(0.83), "accuracy": 0.5}
    assert second == {"photos": 1, "score": pytest.approx(0.95), "accuracy": 1.0}


def test_calibration_is_measured_before_and_after_the_temperature():
    correct = np.array([True, False])
    found = measure_calibration(np.array([0.9, 0.9]), np.array([0.5, 0.5]), correct, 3.0)
    assert found["temperature"] == 3.0
    assert found["before"]["calibration_error"] == pytest.approx(0.4)
    assert found["after"] == {
        "calibration_error": 0.0,
        "bins": [{"photos": 2, "score": 0.5, "accuracy": 0.5}],
    }


def test_every_photo_is_in_the_histogram_and_the_threshold_within_its_ends():
    known, other = np.array([0.0, 1.0, 1.0, 1000.0]), np.array([-500.0, 0.5])
    found = score_histogram(known, other, threshold=2000.0)
    assert (sum(found["known"]), sum(found["other"])) == (4, 2)
    assert len(found["known"]) == BINS
    assert found["low"] < 0 < found["high"] == found["threshold"] == 2000.0
    assert "other" not in score_histogram(known)


def test_equal_scores_have_a_histogram():
    found = score_histogram(np.ones(3))
    assert (sum(found["known"]), found["threshold"]) == (3, None)
    assert found["low"] == 1 < found["high"]
