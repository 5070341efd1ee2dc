"""The histogram: what the records hold of what was listed, legible at any number of landmarks."""

from collections import Counter
from itertools import combinations, groupby

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from PIL import Image

from tfrecords.common import fonts
from tfrecords.common.types import SPLITS
from tfrecords.records.histogram import (
    COLOURS,
    IN_RECORDS,
    LEFT_OUT,
    LEFT_OUT_NAME,
    draw_histogram,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TWO_PANELS, ONE_PANEL = 984, 576  # heights in pixels
LONG_NAME = "Basilica_of_the_National_Shrine_of_the_Immaculate_Conception"


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws; returns matplotlib's figure and the PNG's pixels, uint8 `(height, width, 3)`."""
    figures = []
    save = Figure.savefig

    def keep_and_save(figure, *arguments, **settings):
        figures.append(figure)
        save(figure, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep_and_save)

    def draw_kept(kept, listed=None, names=None):
        path = tmp_path / "picture.png"
        draw_histogram(split(kept), kept if listed is None else listed, names or {}, path)
        with Image.open(path) as image:
            assert image.format == "PNG"
            return figures.pop(), np.asarray(image.convert("RGB"))

    return draw_kept


def split(kept):
    """Photos per split, 70 : 15 : 15; a landmark that a split lacks is not among its keys."""
    held_out = {landmark_id: round(photos * 0.15) for landmark_id, photos in kept.items()}
    trained_on = {landmark_id: kept[landmark_id] - 2 * n for landmark_id, n in held_out.items()}
    held_out = {landmark_id: photos for landmark_id, photos in held_out.items() if photos}
    return dict(zip(SPLITS, (trained_on, held_out, held_out), strict=True))


def landmarks(number, most=1000):
    """A long tail: `most` photos, half as many, a third."""
    return {f"{rank}": 1 + most // rank for rank in range(1, number + 1)}


def names_below(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def of_colour(pixels, colour):
    """Bool `(height, width)`: where the pixels are exactly this "#rrggbb"."""
    return (pixels == np.array(list(bytes.fromhex(colour[1:])))).all(-1)


def bar_heights(pixels):
    """Pixels of each colour in each bar, left to right, of the first panel.

    Without the legend's, which are no taller than 20, and the edge of an axis, which is narrower.
    """
    heights = {}
    for name, colour in (COLOURS | {"left out": LEFT_OUT}).items():
        columns = of_colour(pixels, colour).sum(0)
        heights[name] = np.where(columns > 20, columns, 0)
    bars = groupby(zip(*heights.values(), strict=True), key=any)
    columns = [list(bar) for inside, bar in bars if inside]
    return [dict(zip(heights, bar[9], strict=True)) for bar in columns if len(bar) > 9]


def test_bars_stack_the_splits_and_what_was_left_out(draw):
    _, pixels = draw({"a": 60, "b": 50}, {"a": 100, "b": 80, "c": 40})
    bars = bar_heights(pixels)
    pixels_per_photo = sum(bars[0].values()) / 100
    photos = [{name: height / pixels_per_photo for name, height in bar.items()} for bar in bars]
    assert photos == [
        pytest.approx({"train": 42, "validation": 9, "test": 9, "left out": 40}, abs=1),
        pytest.approx({"train": 34, "validation": 8, "test": 8, "left out": 30}, abs=1),
        pytest.approx({"train": 0, "validation": 0, "test": 0, "left out": 40}, abs=1),
    ]


def test_nothing_left_out_is_not_shown(draw):
    figure, pixels = draw({"a": 60, "b": 60})
    assert [bar["left out"] for bar in bar_heights(pixels)] == [0, 0]
    legend = figure.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["train", "validation", "test"]


def test_most_photos_listed_come_first(draw):
    """Of equals the lower number, as `--top` chooses them."""
    listed = {"few": 3, "10": 9, "many": 30, "9": 9, "b": 9, "a": 9}
    figure, _ = draw({"few": 3, "9": 3, "10": 9, "many": 9}, listed)
    assert names_below(figure.axes[0]) == ["many", "9", "10", "a", "b", "few"]


@pytest.mark.parametrize(
    ("listed", "title"),
    [
        ({"a": 900, "b": 400}, "1,300 photos of 2 landmarks in the records"),
        (
            {"a": 1000, "b": 400, "c": 1},
            "1,300 photos of 2 landmarks in the records\n1,401 photos of 3 landmarks listed",
        ),
    ],
)
def test_the_title_counts_photos_and_landmarks(listed, title, draw):
    figure, _ = draw({"a": 900, "b": 400}, listed)
    assert figure.get_suptitle() == title


@pytest.mark.parametrize(("number", "width"), [(3, 816), (50, 1500)])
def test_up_to_50_landmarks_are_one_panel(number, width, draw):
    figure, pixels = draw(landmarks(number))
    assert names_below(*figure.axes) == [f"{rank}" for rank in range(1, number + 1)]
    assert pixels.shape == (ONE_PANEL, width, 3)


def test_51_landmarks_are_two_panels(draw):
    figure, pixels = draw(landmarks(51))
    bars, tail = figure.axes
    assert names_below(bars) == [f"{rank}" for rank in range(1, 51)]
    assert bars.get_title("left") == "the first 50 of 51 landmarks in the records"
    assert tail.get_title("left") == "all 51 landmarks listed"
    assert pixels.shape == (TWO_PANELS, 1500, 3)


def test_the_tail_marks_the_records_at_their_rank_and_photos(draw):
    """In pixels: as far from each other as their ranks; a landmark with fewer photos lower."""
    listed = landmarks(100)
    figure, pixels = draw({"20": 20, "40": 20, "80": 2}, listed)
    line, points = figure.axes[1].lines
    assert line.get_xydata().tolist() == [[int(rank), photos] for rank, photos in listed.items()]
    assert points.get_xydata().tolist() == [[20, 20], [40, 20], [80, 2]]
    marks = of_colour(pixels[700:], IN_RECORDS)  # below the tail's legend
    starts = np.flatnonzero(np.diff(marks.any(0).astype(int)) == 1)
    assert len(starts) == 3
    assert starts[2] - starts[1] == pytest.approx(2 * (starts[1] - starts[0]), abs=2)
    first, second, third = (marks[:, start + 3].nonzero()[0].mean() for start in starts)
    assert first == second < third - 50


def test_a_thousand_ranks_are_linear_and_more_are_logarithmic(draw):
    scales = []
    for number in (1000, 1001):
        _, tail = draw(landmarks(number))[0].axes
        scales.append((tail.get_xscale(), tail.get_yscale()))
    assert scales == [("linear", "log"), ("log", "log")]


def test_names_of_landmarks_without_photos_are_pale(draw):
    figure, _ = draw({"b": 30, "c": 20}, {"a": 40, "b": 30, "c": 20, "d": 1})
    colours = [label.get_color() for label in figure.axes[0].get_xticklabels()]
    assert colours == [LEFT_OUT_NAME, "black", "black", LEFT_OUT_NAME]


def test_of_many_listed_only_the_records_have_bars(draw):
    listed = landmarks(200)
    ranks = [f"{rank}" for rank in (3, *range(100, 110))]
    figure, pixels = draw({rank: listed[rank] for rank in ranks}, listed)
    bars, _ = figure.axes
    assert names_below(bars) == ranks
    assert bars.get_title("left") == "all 11 landmarks in the records"
    assert {bar["left out"] for bar in bar_heights(pixels)} == {0}
    assert pixels.shape == (TWO_PANELS, 1500, 3)


def test_few_photos_of_many_are_not_hidden_by_what_was_left_out(draw):
    """As with `--max-photos`: beside what is listed they would be a few pixels high."""
    listed = {"a": 5000, "b": 4000, "c": 3000}
    figure, pixels = draw({"a": 80, "b": 100, "c": 100}, listed)
    bars, tail = figure.axes
    assert names_below(bars) == ["b", "c", "a"]
    assert [line.get_ydata().tolist() for line in tail.lines] == [
        [5000, 4000, 3000],
        [80, 100, 100],
    ]
    heights = bar_heights(pixels)
    assert [bar["left out"] for bar in heights] == [0, 0, 0]
    assert heights[0] == heights[1]
    assert heights[1]["train"] > heights[2]["train"] > 150


def test_a_tenth_of_the_photos_needs_no_second_panel(draw):
    figure, _ = draw({"a": 500, "b": 100}, {"a": 5000, "b": 4000})
    assert len(figure.axes) == 1


def test_of_more_than_50_in_the_records_the_first_50_have_bars(draw):
    figure, _ = draw({f"{rank}": 1 for rank in range(100, 160)}, landmarks(200))
    records = figure.axes[0]
    assert names_below(records) == [f"{rank}" for rank in range(100, 150)]
    assert records.get_title("left") == "the first 50 of 60 landmarks in the records"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Hagia_Sophia", "Hagia Sophia"),
        ("", "17"),
        ("two\nlines", "two lines"),
        (LONG_NAME, "Basilica of the National Shrine…"),
        ("x" * 32, "x" * 32),
        ("x" * 33, "x" * 31 + "…"),
        ("故" * 16, "故" * 16),
        ("故" * 17, "故" * 15 + "…"),
    ],
)
def test_names_are_shown_on_one_line_and_shortened(name, shown, draw):
    figure, _ = draw({"17": 5, "other_id": 3}, names={"17": name})
    assert names_below(*figure.axes) == [shown, "other id"]


@pytest.mark.parametrize("name", ["100$%$", "故宫", "ताज महल", "المسجد", "caf\\udce9"])
def test_histogram_takes_any_folder_name(name, tmp_path):
    """`$` starts a formula in matplotlib; its font has no Chinese (a warning, here an error)."""
    counts = Counter({name: 1, "$x": 2})
    draw_histogram(dict.fromkeys(SPLITS, counts), counts + counts + counts, {}, tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(PNG_SIGNATURE)


def test_a_script_that_matplotlib_s_font_lacks_is_shown_in_an_installed_one(draw, monkeypatch):
    """With a font that comes with matplotlib in place of those that a system may have."""
    sign = "\u2316"
    for family, has in (("DejaVu Sans", False), ("STIXGeneral", True)):
        assert (ord(sign) in get_font(findfont(family)).get_charmap()) is has
    monkeypatch.setattr(fonts, "FONTS", ())
    _, boxes = draw({sign: 3, "b": 3})
    monkeypatch.setattr(fonts, "FONTS", ("No Such Font", "STIXGeneral"))
    _, signs = draw({sign: 3, "b": 3})
    assert not np.array_equal(signs, boxes)


@pytest.mark.parametrize(("number", "most"), [(2, 5), (10, 2_000_000), (51, 2_000_000)])
def test_nothing_is_cut_off_and_no_heading_overlaps_another(number, most, draw):
    listed = landmarks(number, most)
    kept = {landmark_id: 1 + photos // 30 for landmark_id, photos in listed.items()}
    figure, pixels = draw(kept, listed, dict.fromkeys(listed, LONG_NAME))
    figure.set_dpi(120)  # as in the PNG, where text is placed by whole pixels
    ends = ("landmarks listed", "landmarks in the records")
    titles = [text for text in figure.findobj(Text) if text.get_text().endswith(ends)]
    legends = [axes.get_legend() for axes in figure.axes]
    assert (len(titles), len(legends)) == {2: (1, 1), 10: (3, 2), 51: (3, 2)}[number]
    for one, other in combinations([*titles, *legends], 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent())
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() == 255


def test_thousands_of_landmarks_are_not_thousands_of_things_to_draw(draw):
    few, many = (len(draw(landmarks(number))[0].findobj()) for number in (1100, 9000))
    assert many < few + 50


def test_the_same_photos_give_the_same_bytes_in_any_order(draw, tmp_path):
    pictures = []
    for order in (dict, lambda counts: dict(reversed(counts.items()))):
        draw(order(landmarks(60, 40)), order(landmarks(70, 50)), {"7": "Petra"})
        pictures.append((tmp_path / "picture.png").read_bytes())
    assert pictures[0] == pictures[1]
    assert b"Software" not in pictures[0]
