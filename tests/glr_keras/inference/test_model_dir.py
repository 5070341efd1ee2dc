"""Runs and exports are told apart before TensorFlow is started."""

import pytest

from glr_keras.inference.model_dir import check_model, check_run, find_saved_model, is_our_export
from tfrecords.common.console import UserError


@pytest.fixture
def folder(tmp_path):
    def make(*files):
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


RUN = ("config.json", "model.keras", "metrics.json")
EXPORT = ("1/saved_model.pb", "1/assets.extra/glr_keras.json")


def test_a_complete_run_and_an_export_can_be_loaded(folder):
    check_run(folder(*RUN))
    check_model(folder(*RUN))
    check_model(folder(*EXPORT))
    check_model(folder(*EXPORT) / "1")


def test_the_highest_version_is_served(folder):
    path = folder("2/saved_model.pb", "10/saved_model.pb", "x/saved_model.pb", "11/other")
    assert find_saved_model(path) == path / "10"
    assert find_saved_model(path / "2") == path / "2"
    assert find_saved_model(path / "11") is None
    assert not is_our_export(path)
    assert is_our_export(folder("10/assets.extra/glr_keras.json"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "is neither a run nor an export. Expected a folder that glr_keras.fit"),
        (("saved_model.pb",), "holds a SavedModel that this project did not write"),
        (RUN[:2], r"is not complete: it has no metrics.json. Finish it with: python -m glr_keras"),
        ((RUN[0], RUN[2]), "is not complete: it has no model.keras"),
    ],
)
def test_other_folders_are_refused(folder, files, message):
    with pytest.raises(UserError, match=message):
        check_model(folder(*files))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none does not exist. Expected a folder that"):
        check_model(tmp_path / "none")
    with pytest.raises(UserError, match=r"No folder .*none. Train with: python -m glr_keras.fit"):
        check_run(tmp_path / "none")
    with pytest.raises(UserError, match=r"is no run: it has no config.json"):
        check_run(tmp_path)
