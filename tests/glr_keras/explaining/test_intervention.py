"""Another map in place of an ABN's own."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glr_keras.explaining.intervention import (
    answer_with,
    map_maker,
    map_of_box,
    map_of_mask,
    read_map,
    read_mask,
    upright_size,
)
from glr_keras.explaining.photos import NamedPhoto
from glr_keras.models.landmark_maps import landmark_maps
from tfrecords.common.console import UserError


def test_its_own_map_changes_nothing_and_another_one_does(small_model):
    head = small_model.recognizer.head
    features = np.random.default_rng(0).normal(size=(3, 8, 8, 128)).astype(np.float32)
    own = landmark_maps(head, features, "attention")
    expected = np.asarray(head.probabilities(features))
    np.testing.assert_allclose(answer_with(head, features, own), expected, rtol=1e-5)
    other = answer_with(head, features, np.zeros_like(own))
    np.testing.assert_allclose(other.sum(1), 1, rtol=1e-5)
    assert not np.allclose(other, expected, rtol=1e-5)


def test_a_box_of_the_photo_falls_into_the_cells_of_the_square():
    # The square is rows 1/16 to 15/16 of a square photo.
    half = map_of_box((0, 0, 0.5, 1), (256, 256), (4, 4), "center")
    np.testing.assert_allclose(half, [[1] * 4, [1] * 4, [0] * 4, [0] * 4])
    with pytest.raises(UserError, match=r"outside of what the model sees: 0.06,0.28,0.94,0.72"):
        map_of_box((0, 0, 1, 0.2), (256, 512), (4, 4), "center")


def test_a_mask_is_averaged_in_each_cell_of_the_square():
    mask = np.zeros((256, 256))
    mask[16:72, 16:44] = 1  # half of the first cell of four by four
    averaged = map_of_mask(mask, (4, 4), "center")
    assert averaged[0, 0] == pytest.approx(0.5)
    assert averaged.sum() == pytest.approx(0.5)


def test_a_mask_must_have_the_size_of_the_upright_photo(tmp_path):
    photo = Image.new("RGB", (60, 40))
    exif = photo.getexif()
    exif[0x0112] = 6  # turned by a quarter
    photo.save(tmp_path / "photo.jpg", exif=exif)
    assert upright_size(tmp_path / "photo.jpg") == (40, 60)
    assert upright_size(tmp_path / "missing.jpg") is None
    path = str(tmp_path / "photo.jpg")
    args = argparse.Namespace(keep_box=None, map=None, mask=tmp_path / "mask.png")
    Image.new("L", (40, 60), 255).save(args.mask)
    make = map_maker(args, [NamedPhoto(path, path)], "center")
    np.testing.assert_allclose(make((60, 40), (2, 2)), np.ones((2, 2)))
    Image.new("L", (60, 40), 255).save(args.mask)
    with pytest.raises(UserError, match=r"expected 40 x 60 pixels, the size of .*, got 60 x 40"):
        map_maker(args, [NamedPhoto(path, path)], "center")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2, 2)), r"expected an array of numbers \(rows, columns\)"),
        (np.array([["a"]]), "expected an array of numbers"),
        (np.array([[1.5]]), r"expected values in \[0, 1\]"),
        (np.array([[np.nan]]), r"expected values in \[0, 1\]"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path, values, message):
    np.save(tmp_path / "map.npy", values)
    with pytest.raises(UserError, match=message):
        read_map(tmp_path / "map.npy")


def test_files_of_another_kind_are_refused(tmp_path):
    path = Path(tmp_path / "text")
    path.write_text("no picture")
    with pytest.raises(UserError, match=r"read as a \.npy file"):
        read_map(path)
    with pytest.raises(UserError, match="can't be read as a picture"):
        read_mask(path)


def test_a_map_must_have_the_grid_of_the_model(tmp_path):
    np.save(tmp_path / "map.npy", np.eye(3))
    args = argparse.Namespace(keep_box=None, mask=None, map=tmp_path / "map.npy")
    make = map_maker(args, [], "center")
    np.testing.assert_array_equal(make((9, 9), (3, 3)), np.eye(3))
    with pytest.raises(UserError, match=r"expected 8 x 8 cells, .* got 3 x 3"):
        make((9, 9), (8, 8))
