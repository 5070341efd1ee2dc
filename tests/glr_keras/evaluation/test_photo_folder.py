"""Labels of photos in folders are those of the landmarks that the folders are named after."""

import unicodedata

import pytest

from glr_keras.evaluation.photo_folder import labelled_photos


@pytest.mark.parametrize("form", ["NFC", "NFD"])  # NFD: how a Mac's disk writes an accent
def test_a_folder_is_its_landmark_in_either_form_of_unicode(form, tmp_path):
    folder = tmp_path / unicodedata.normalize(form, "château")
    folder.mkdir()
    (folder / "a.jpg").touch()
    (photo,) = labelled_photos(tmp_path, ["arch", "château"])
    assert photo.label == 1
