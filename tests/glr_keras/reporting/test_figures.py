"""Pictures: the right size, the right colours in the right places, and none half-written."""

import dataclasses

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from glr_keras.reporting.figures import (
    ATTENTION,
    PERCEPTION,
    AttentionExample,
    draw_attention_grid,
    draw_confusion_matrix,
    draw_most_confused,
    draw_training_curves,
    overlay_heatmap,
)
from tfrecords.common import fonts

NONE, ALL = (
    colormaps["cividis"](fraction, bytes=True)[:3] for fraction in (0.0, 1.0)
)  # of a landmark's photos
GRAY = np.full((40, 60, 3), 100.0, np.float32)


def corner_map(row, column, shape=(2, 3)):
    values = np.zeros(shape, np.float32)
    values[row, column] = 1
    return values


def example(landmark="arch", predicted="arch", photo=GRAY):
    return AttentionExample(photo, np.zeros((2, 2), np.float32), landmark, predicted, 0.75)


def epoch(*branches):
    measures = [f"{branch}_{measure}" for branch in branches for measure in ("loss", "accuracy")]
    return {f"{prefix}{name}": 0.5 for name in measures for prefix in ("", "val_")}


def drawn(draw, *arguments, folder, **settings):
    """Draws into `folder` and returns the picture's pixels, uint8 `(height, width, 3)`."""
    path = folder / "picture.png"
    draw(*arguments, path, **settings)
    assert [entry.name for entry in folder.iterdir()] == ["picture.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def where_colour(pixels, colour):
    """Rows and columns of the pixels of exactly this colour, "#rrggbb" or three bytes."""
    wanted = bytes.fromhex(colour[1:]) if isinstance(colour, str) else colour
    return np.nonzero((pixels == np.array(list(wanted))).all(-1))


def has_colour(pixels, colour):
    return where_colour(pixels, colour)[0].size > 0


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 2), (1, 0), (1, 2)])
def test_the_hot_corner_of_the_map_lights_the_same_corner_of_the_photo(row, column):
    shown = overlay_heatmap(GRAY, corner_map(row, column))
    assert shown.shape == GRAY.shape
    assert 0 <= shown.min() <= shown.max() <= 255
    light = shown.mean(-1)
    corners = light[:: len(light) - 1, :: light.shape[1] - 1]
    assert np.unravel_index(corners.argmax(), (2, 2)) == (row, column // 2)
    assert corners[row, column // 2] == light.max()


def test_the_photo_is_brighter_where_the_map_is_higher():
    rising = np.linspace(0.4, 0.6, 7, dtype=np.float32)[None].repeat(5, 0)
    light = overlay_heatmap(GRAY, rising).mean((0, -1))
    assert (np.diff(light) >= -1e-9).all()
    assert light[-1] > light[0] + 100  # stretched to the map's own range


def test_the_map_s_ends_are_black_and_pale_yellow_over_gray():
    shown = overlay_heatmap(GRAY, corner_map(0, 0))
    np.testing.assert_allclose(shown[-1, -1], 45 + 0.55 * np.array([0, 0, 4]), atol=0.6)
    np.testing.assert_allclose(shown[0, 0], 45 + 0.55 * np.array([252, 255, 164]), atol=0.6)


def test_an_even_map_lights_nothing():
    for value in (0.0, 0.5, 1.0):
        shown = overlay_heatmap(GRAY, np.full((7, 7), value, np.float32))
        np.testing.assert_array_equal(shown, np.broadcast_to(shown[:1, :1], shown.shape))
        assert shown.max() < 48


def test_the_photo_shows_through_in_gray():
    photo = GRAY.copy()
    photo[10:20, 10:20] = (255, 0, 0)
    shown = overlay_heatmap(photo, np.ones((2, 2), np.float32))
    assert shown[15, 15].mean() < shown[0, 0].mean()
    np.testing.assert_allclose(shown[0, 0] - shown[15, 15], 0.45 * 15, atol=1e-4)


def test_a_map_is_not_moved_by_being_enlarged():
    shown = overlay_heatmap(GRAY, corner_map(1, 1, (3, 3)))
    np.testing.assert_allclose(shown, shown[::-1, ::-1], atol=2)
    centre = np.unravel_index(shown.mean(-1).argmax(), shown.shape[:2])
    assert centre in {(19, 29), (19, 30), (20, 29), (20, 30)}


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_with_and_without_attention(epochs, tmp_path):
    both = [epoch("attention", "perception")] * epochs
    pixels = drawn(draw_training_curves, both, epochs - 1, folder=tmp_path)
    assert pixels.shape == (480, 1200, 3)
    assert has_colour(pixels, ATTENTION)
    assert has_colour(pixels, PERCEPTION)
    one = [epoch("perception")] * epochs
    pixels = drawn(draw_training_curves, one, 0, folder=tmp_path)
    assert has_colour(pixels, PERCEPTION)
    assert not has_colour(pixels, ATTENTION)


@pytest.mark.parametrize(("landmarks", "height", "width"), [(2, 660, 780), (100, 1920, 2040)])
def test_confusion_matrix_of_few_and_many_landmarks(landmarks, height, width, tmp_path):
    matrix = np.diag(np.arange(landmarks))  # the first landmark has no photos
    names = [f"landmark_{number}" for number in range(landmarks)]
    pixels = drawn(draw_confusion_matrix, matrix, names, "title", folder=tmp_path)
    assert pixels.shape == (height, width, 3)
    assert has_colour(pixels, ALL)
    assert has_colour(pixels, NONE)


def test_confusion_matrix_has_rows_of_shown_and_columns_of_predicted(tmp_path):
    matrix = np.zeros((2, 2), np.int64)
    matrix[0, 1] = 5  # the first landmark, taken for the second: top right
    pixels = drawn(draw_confusion_matrix, matrix, ["a", "b"], "title", folder=tmp_path)
    matrix_alone = pixels[:, :600]  # without the colour bar
    rows, columns = where_colour(matrix_alone, ALL)
    other_rows, other_columns = where_colour(matrix_alone, NONE)
    assert rows.max() < other_rows.max() - 100
    assert columns.min() > other_columns.min() + 100
    # One cell of four.
    assert 0.25 < rows.size / other_rows.size < 0.4


def test_long_names_leave_the_matrix_its_room(tmp_path):
    names = [f"Collegiate church of Saint Peter of the Holy Mountain in {n}" for n in range(12)]
    matrix = np.zeros((12, 12), np.int64)
    pixels = drawn(draw_confusion_matrix, matrix, names, "title", folder=tmp_path)
    _, columns = where_colour(pixels[:, : int(0.85 * pixels.shape[1])], NONE)  # without the bar
    assert columns.max() - columns.min() > 0.3 * pixels.shape[1]


@pytest.mark.parametrize(("pairs", "height"), [(0, 204), (1, 204), (20, 888)])
def test_most_confused_pairs_have_a_bar_each(pairs, height, tmp_path):
    rows = [{"landmark": f"arch {n}", "predicted": "gate", "photos": n + 1} for n in range(pairs)]
    pixels = drawn(draw_most_confused, rows, "title", folder=tmp_path)
    assert pixels.shape == (height, 1080, 3)
    rows, _ = where_colour(pixels, PERCEPTION)
    bars = np.diff(np.unique(rows), prepend=-9) > 1
    assert bars.sum() == pairs


@pytest.mark.parametrize(
    ("examples", "columns", "height", "width"),
    [(1, 4, 318, 1680), (2, 4, 318, 1680), (5, 4, 576, 1680), (3, 2, 576, 840)],
)
def test_attention_grid_of_any_number_of_photos(examples, columns, height, width, tmp_path):
    pixels = drawn(
        draw_attention_grid, [example()] * examples, "title", folder=tmp_path, columns=columns
    )
    assert pixels.shape == (height, width, 3)
    # The photo itself fills up to half of its cell; empty cells hold none.
    cells = np.ceil(examples / columns) * columns
    fraction = (pixels == 100).all(-1).mean() * cells / examples
    assert 0.1 < fraction < 0.5


def test_a_wrong_guess_stands_out_in_the_grid(tmp_path):
    right = drawn(draw_attention_grid, [example()], "title", folder=tmp_path)
    wrong = drawn(draw_attention_grid, [example(predicted="tower")], "title", folder=tmp_path)
    assert not has_colour(right, ATTENTION)
    assert has_colour(wrong, ATTENTION)


@pytest.mark.parametrize("name", ["$^$_shop", "故宫", "ताज महल"])
def test_any_folder_name_can_be_drawn(name, tmp_path):
    """`$` starts a formula in matplotlib; its font lacks scripts (a warning, here an error)."""
    draw_names(name, tmp_path)


def test_a_script_that_matplotlib_s_font_lacks_is_shown_in_an_installed_one(tmp_path, monkeypatch):
    """With a font that comes with matplotlib in place of those that a system may have."""
    sign = "\u2316"
    monkeypatch.setattr(fonts, "FONTS", ())
    boxes = draw_names(sign, tmp_path)
    monkeypatch.setattr(fonts, "FONTS", ("No Such Font", "STIXGeneral"))
    for box, shown in zip(boxes, draw_names(sign, tmp_path), strict=True):
        assert not np.array_equal(box, shown)


def draw_names(name, folder):
    """Draws a confusion matrix and an attention grid with this landmark; returns their pixels."""
    matrix, shown = (
        np.eye(2, dtype=int),
        dataclasses.replace(example(), landmark=name, predicted=name),
    )
    return (
        drawn(draw_confusion_matrix, matrix, [name, "b"], "title", folder=folder),
        drawn(draw_attention_grid, [shown], "title", folder=folder),
    )


def test_same_figure_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        draw_attention_grid([example()], "title", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
