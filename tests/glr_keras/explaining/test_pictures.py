"""Maps over photos, pixel by pixel, and pictures of any name and shape."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from glr_keras.explaining.photos import window_in_pixels
from glr_keras.explaining.pictures import (
    Panel,
    SheetEntry,
    draw_contact_sheets,
    draw_explanation,
    limits_of,
    overlay,
)

VERMILION = (213, 94, 0)


def grey_photo(height=64, width=96):
    return np.full((height, width, 3), 100, np.uint8)


def expected_pixel(value, opacity=0.55):
    colour = np.array(colormaps["viridis"](value)[:3]) * 255
    return ((1 - opacity) * 100 + opacity * colour).round()


def test_a_cell_s_centre_has_its_own_colour_and_the_photo_outside_is_pale():
    saliency = np.array([[0.0, 0.25], [0.5, 1.0]])
    shown = overlay(grey_photo(), (0, 16, 64, 64), saliency)
    # Centres lie between pixels 15 and 16, 47 and 48 of the square: linear, so their mean.
    for (row, column), value in np.ndenumerate(saliency):
        y, x = 16 + 32 * row, 32 + 32 * column
        around = shown[y - 1 : y + 1, x - 1 : x + 1].mean((0, 1))
        np.testing.assert_allclose(around, expected_pixel(value), atol=4)
    assert (shown[:, :16] == 178).all()
    assert (shown[:, 80:] == 178).all()
    np.testing.assert_array_equal(shown[0, 16], expected_pixel(0.0))
    np.testing.assert_array_equal(shown[63, 79], expected_pixel(1.0))


def test_colours_stand_for_the_limits_and_opacity_leaves_the_photo_visible():
    saliency = np.full((2, 2), 0.4)
    shown = overlay(grey_photo(), (0, 0, 64, 64), saliency, limits=(0.3, 0.5), opacity=0.25)
    np.testing.assert_array_equal(shown[30, 30], expected_pixel(0.5, 0.25))
    clear = overlay(grey_photo(), (0, 0, 64, 64), saliency, opacity=0)
    assert (clear[:, :64] == 100).all()


def test_limits_are_0_and_1_unless_stretched():
    saliency = np.array([[0.2, 0.3]])
    assert limits_of(saliency, stretched=False) == (0, 1)
    assert limits_of(saliency, stretched=True) == (0.2, 0.3)
    constant = overlay(grey_photo(), (0, 0, 64, 64), np.full((1, 1), 0.5), limits=(0.5, 0.5))
    np.testing.assert_array_equal(constant[9, 9], expected_pixel(0.0))


def test_the_window_is_the_whole_photo_or_its_central_square():
    assert window_in_pixels(256, 512, "whole") == (0, 0, 256, 512)
    assert window_in_pixels(256, 256, "center") == (16, 16, 224, 224)
    assert window_in_pixels(512, 256, "center") == (144, 16, 224, 224)
    assert window_in_pixels(256, 512, "center") == (16, 144, 224, 224)


@pytest.mark.parametrize(
    ("size", "name"), [((64, 64), "$^$_shop"), ((40, 400), "故宫 ताज महल"), ((400, 40), "a" * 60)]
)
def test_any_photo_and_any_name_can_be_drawn(tmp_path, size, name):
    saliency = np.random.default_rng(0).random((4, 4))
    panels = [
        Panel(saliency, f"{name}\n10% {name}", "attention", framing)
        for framing in ("whole", "center")
    ]
    draw_explanation(grey_photo(*size), panels, name, tmp_path / "photo.png")
    draw_explanation(grey_photo(*size), panels, name, tmp_path / "again.png")
    with Image.open(tmp_path / "photo.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels == 100).all(-1).sum() > 1000
    assert (tmp_path / "photo.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def entry(is_wrong=False, tiles=2):
    tile = np.full((224, 224, 3), 100, np.uint8)
    return SheetEntry([tile] * tiles, "50% dome\nis arch", is_wrong)


def test_photos_fill_as_many_sheets_as_they_need(tmp_path):
    assert draw_contact_sheets([entry()] * 3, "title", tmp_path) == [tmp_path / "contact_sheet.png"]
    paths = draw_contact_sheets([entry()] * 41, "title", tmp_path)
    assert [path.name for path in paths] == ["contact_sheet_1.png", "contact_sheet_2.png"]
    with Image.open(paths[0]) as full, Image.open(paths[1]) as rest:
        assert full.height > 8 * rest.height


def test_a_wrong_answer_stands_out(tmp_path):
    for is_wrong in (False, True):
        (path,) = draw_contact_sheets([entry(is_wrong)], "title", tmp_path)
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert bool((pixels == VERMILION).all(-1).any()) == is_wrong
