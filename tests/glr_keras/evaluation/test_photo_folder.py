"""Labels of photos in folders are those of the landmarks that the folders are named after."""

import unicodedata
from pathlib import Path

import pytest

from glr_keras.evaluation.photo_folder import labelled_photos


@pytest.mark.parametrize("form", ["NFC", "NFD"])  # NFD: how a Mac's disk writes an accent
def test_a_folder_is_its_landmark_in_either_form_of_unicode(form, tmp_path):
    folder = tmp_path / unicodedata.normalize(form, "château")
    folder.mkdir()
    (folder / "a.jpg").touch()
    (photo,) = labelled_photos(tmp_path, ["arch", "château"])
    assert photo.label == 1


def test_links_that_lead_out_of_the_folder_are_followed_if_asked_to(tmp_path, capsys):
    folder = tmp_path / "photos" / "arch"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    (tmp_path / "elsewhere.jpg").touch()
    (folder / "b.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    for follow_links, names in ((False, ["a.jpg"]), (True, ["a.jpg", "b.jpg"])):
        photos = labelled_photos(folder.parent, ["arch"], follow_links)
        assert [Path(photo.name).name for photo in photos] == names
    assert "b.jpg: link: a link out of the photo folder (--follow-links)" in capsys.readouterr().err
