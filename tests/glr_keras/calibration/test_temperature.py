"""Temperature scaling, by hand."""

import numpy as np
import pytest

from glr_keras.calibration.temperature import apply_temperature, fit_temperature


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
