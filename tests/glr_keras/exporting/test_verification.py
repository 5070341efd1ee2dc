"""An export is compared with Keras before it is kept."""

import dataclasses

import pytest

from glr_keras.data.records import open_records
from glr_keras.exporting.comparing import Comparison
from glr_keras.exporting.saved_models import describe, write_export
from glr_keras.exporting.verification import VerificationReport, check_tolerance, verify_export
from glr_keras.inference.loading import load_recognizer
from tfrecords.common.console import UserError


def test_half_precision_halves_the_weights_and_says_what_keras_says_with_them(
    small_run, small_export, demo_data, tmp_path
):
    recognizer = load_recognizer(small_run)  # whose weights are rounded
    write_export(recognizer, describe(recognizer, 256, "float16"), tmp_path / "half")
    report = verify_export(tmp_path / "half", recognizer, open_records(demo_data), "float16", 100)
    variables = "variables/variables.data-00000-of-00001"
    folders = (tmp_path / "half", small_export / "1")
    sizes = [(folder / variables).stat().st_size for folder in folders]
    assert sizes[0] < 0.52 * sizes[1]
    assert report.largest_bytes == 2 * 3 * 3 * 128 * 128
    assert report.photos == 10
    measured = report.comparison
    rounding = max(measured.difference, measured.map_difference)
    assert max(report.error) < 1e-5 < rounding < 0.05


COMPARISON = Comparison("1", 1, 1.0, {1: 1.0, 32: 1.0}, 0.01, 0.01, 99, 0.9)
REPORT = VerificationReport(COMPARISON, (1e-6, 1e-6), 0.9, 100, "kernel", 1)


def changed(**values):
    return dataclasses.replace(REPORT, **values)


def less_accurate(accuracy):
    return changed(comparison=dataclasses.replace(COMPARISON, accuracy=accuracy))


def test_an_export_that_differs_from_keras_is_refused(small_model):
    abn = describe(small_model.recognizer, 256, "bfloat16")
    dropout = dataclasses.replace(abn, head="DropoutHead")
    check_tolerance(REPORT, abn)
    check_tolerance(less_accurate(0.8951), abn)
    check_tolerance(changed(error=(1e-6, 0.5)), dropout)  # Grad-CAM is a quotient of small numbers
    for report in (changed(error=(1.1e-4, 0)), changed(error=(float("nan"), 0))):
        with pytest.raises(UserError, match=r"differs from Keras by .*more than 1e-04: it was"):
            check_tolerance(report, dropout)
    with pytest.raises(UserError, match=r"differs from Keras by 2.0e-04"):
        check_tolerance(changed(error=(0, 2e-4)), abn)
    with pytest.raises(UserError, match=r"--precision bfloat16 costs 0.6% of accuracy, more than"):
        check_tolerance(less_accurate(0.894), abn)
    # In full precision answers within the tolerance are the same, even where landmarks tie.
    check_tolerance(less_accurate(0.5), dataclasses.replace(abn, precision="float32"))
