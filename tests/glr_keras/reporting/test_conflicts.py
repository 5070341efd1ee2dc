"""Copies under two landmarks: pairs as the build has named them, with pictures of their folder."""

import shutil

import pytest

from glr_keras.reporting.conflicts import Conflict, read_conflicts
from tfrecords.build import BuildOptions, build


@pytest.fixture
def mislabelled(demo_photos, tmp_path):
    """Photos of three landmarks; one lies under "tower of london" and "gate of peace", too."""
    folder = tmp_path / "photos"
    for name, first in (("arch", 0), ("gate of peace", 5), ("tower of london", 10)):
        (folder / name).mkdir(parents=True)
        for photo in demo_photos[first : first + 5]:
            shutil.copy(photo, folder / name / photo.name)
    shutil.copy(demo_photos[12], folder / "gate of peace" / "copy of it.jpg")
    build(BuildOptions(photos=folder, out=tmp_path / "data"))
    return folder


def test_a_pair_is_shown_once_with_both_photos(mislabelled, demo_photos, tmp_path):
    (conflict,) = read_conflicts(tmp_path / "data", mislabelled)
    pair = ("gate of peace/copy of it.jpg", f"tower of london/{demo_photos[12].name}")
    assert conflict.photos == pair
    first, second = conflict.images
    assert first == second
    assert first.startswith("data:image/jpeg;base64,")


def test_without_the_folder_there_are_names_only(mislabelled, tmp_path):
    (conflict,) = read_conflicts(tmp_path / "data")
    assert conflict.images == (None, None)
    assert read_conflicts(tmp_path / "nowhere") == []


def test_photos_that_can_t_be_read_or_lie_elsewhere_have_no_picture(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    lines = ["photo,reason,detail"]
    lines += ["../secret.jpg,two landmarks,also gone.jpg of arch"]
    lines += ["gone.jpg,two landmarks,also ../secret.jpg of gate", "x.jpg,damaged,"]
    (tmp_path / "data" / "skipped.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "photos").mkdir()
    expected = [Conflict(("../secret.jpg", "gone.jpg"), (None, None))]
    assert read_conflicts(tmp_path / "data", tmp_path / "photos") == expected
