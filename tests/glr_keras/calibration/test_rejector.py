"""Rejector: what is fitted to validation photos, kept in a file, and asked of others."""

import numpy as np
import pytest

from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.rejector import FILE, fit_rejector, load_rejector
from tfrecords.common.console import UserError

ANSWERS = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32))


@pytest.fixture(scope="module")
def rejector():
    return fit_rejector(Evidence(ANSWERS, {}), np.array([0, 0, 1, 1]), accept=0.75)


def test_p_values_are_places_among_validation_photos(rejector):
    probabilities = np.array([[0.5, 0.5], [0.65, 0.35], [0.05, 0.95]], np.float32)
    judged = rejector.judge(Evidence(np.log(probabilities), {}))
    np.testing.assert_allclose(judged["p_value"], [1 / 5, 2 / 5, 5 / 5])
    np.testing.assert_array_equal(judged["is_landmark"], [False, True, True])


def test_a_rejector_comes_back_as_it_was_written(rejector, tmp_path):
    rejector.save(tmp_path)
    first = (tmp_path / FILE).read_bytes()
    loaded = load_rejector(tmp_path)
    assert loaded.settings == rejector.settings
    np.testing.assert_array_equal(loaded.arrays["reference"], rejector.arrays["reference"])
    loaded.save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == first


def test_who_may_read_the_run_may_read_it(rejector, tmp_path):
    rejector.save(tmp_path)
    (tmp_path / "plain").touch()
    assert (tmp_path / FILE).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_run_of_an_earlier_version_has_none(tmp_path):
    assert load_rejector(tmp_path) is None


def test_a_damaged_file_is_named(rejector, tmp_path):
    rejector.save(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:50])
    with pytest.raises(UserError, match=f"{FILE} can't be read: .*Copy the file again"):
        load_rejector(tmp_path)
