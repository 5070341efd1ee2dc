"""Where the lines and bars of a report's plots are, in the units of their SVG."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from glr_keras.reporting.contents import RunContents
from tfrecords.common.types import SPLITS

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 36  # around the axes
MAX_NAMED_BARS = 60  # landmarks; more have no room for their names
MAX_BARS = 200
MAX_DOTS = 40  # epochs; of more, the line is enough
DOT = 2.5  # radius
BRANCHES = {"": "answer", "attention_": "attention", "perception_": "perception"}
MEASURES = {"cross-entropy (nats)": ("loss", "cross_entropy"), "accuracy": ("accuracy",)}


@dataclass(frozen=True)
class Line:
    """One line of a plot: `points` as SVG takes them, and `dots` (x, y, radius) upon it."""

    name: str
    colour: str
    is_dashed: bool
    points: Sequence[tuple[float, float]]
    dots: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Bars:
    """Bars of one kind of photos: (x, y, width, height) of each, as SVG takes them."""

    name: str
    colour: str
    rectangles: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Plot:
    """Lines and bars, with the ticks of both axes as (position, text), and perhaps a mark at x.

    Attributes:
        description: What a screen reader says of it.
    """

    title: str
    description: str
    lines: Sequence[Line]
    x_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    bars: Sequence[Bars] = ()
    mark: float | None = None
    mark_name: str = ""


def training_plots(contents: RunContents) -> list[Plot]:
    """Returns the plots of losses and of accuracies, train dashed and validation solid."""
    epochs = contents.metrics["epochs"]
    best = _x(contents.metrics["best_epoch"], epochs)
    step = math.ceil(epochs / 8)
    x_ticks = [(_x(epoch, epochs), str(epoch)) for epoch in range(1, epochs + 1, step)]
    plots = []
    for title, measures in MEASURES.items():
        curves = _curves(contents.history, measures)
        if not curves:
            continue
        highest = 1.0 if title == "accuracy" else max(max(values) for *_, values in curves)
        ticks = nice_ticks(highest)
        lines = [_line(curve, epochs, ticks[-1]) for curve in curves]
        label = "fit, each with its penalty" if "l2" in contents.history else "epoch"
        description = f"{title} per epoch; the numbers are in the table below"
        y_ticks = ticks_of(ticks, ticks[-1])
        plots.append(
            Plot(title, description, lines, label, x_ticks, y_ticks, (), best, "best epoch")
        )
    return plots


def _curves(history, measures):
    """Returns (name, colour, is_dashed, values) of what was measured on train and validation."""
    found = []
    prefixes = [prefix for prefix in BRANCHES if f"val_{prefix}accuracy" in history]
    if "" in prefixes and "attention_" not in prefixes:
        prefixes = [""]  # a branch that is alone is the answer
    for prefix in prefixes:
        measure = measures[-1] if prefix == "" else measures[0]
        for split, start in (("train", ""), ("validation", "val_")):
            values = history.get(f"{start}{prefix}{measure}")
            if values and all(map(math.isfinite, values)):
                name = f"{BRANCHES[prefix]}, {split}"
                found.append((name, BRANCHES[prefix], split == "train", values))
    return found


def nice_ticks(highest: float) -> list[float]:
    """Returns round numbers from 0 up to `highest` or a little more, at most 6 of them."""
    highest = max(highest, 1e-3)  # a loss of 0 has an axis, too
    step = _nice_step(highest, 5)
    return [round(number * step, 12) for number in range(max(1, math.ceil(highest / step)) + 1)]


def ticks_between(low: float, high: float) -> list[float]:
    """Returns round numbers in the range, at most 7 of them."""
    step = _nice_step(high - low, 6)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _nice_step(length, most):
    power = 10.0 ** math.floor(math.log10(length / most))
    return next(power * factor for factor in (1, 2, 5, 10) if length / (power * factor) <= most)


def ticks_of(values: Sequence[float], highest: float) -> list[tuple[float, str]]:
    """Returns the ticks of an axis from 0 up to `highest`."""
    return [(to_y(value, highest), f"{value:.10g}") for value in values]


def to_x(fraction: float) -> float:
    """Returns where a fraction of the horizontal axis is."""
    return round(LEFT + fraction * (WIDTH - LEFT - RIGHT), 1)


def to_y(value: float, highest: float = 1.0) -> float:
    """Returns where a value is on a vertical axis from 0 up to `highest`."""
    return round(HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM), 1)


def _x(epoch, epochs):
    return to_x((epoch - 0.5) / epochs)


def _line(curve, epochs, highest):
    name, colour, is_dashed, values = curve
    points = [(_x(n, epochs), to_y(min(v, highest), highest)) for n, v in enumerate(values, 1)]
    dots = [(*point, DOT) for point in points] if epochs <= MAX_DOTS else []
    return Line(name, colour, is_dashed, points, dots)


def class_histogram(contents: RunContents) -> list[dict]:
    """Returns bars of photos per landmark, most photos first.

    Returns:
        Dicts of "name", "photos" (by split), "total" and "widths" (percent of the longest bar, by
        split). Of many landmarks, a bar stands for several that follow each other, and has their
        mean.
    """
    in_test = Counter(one.landmark for one in contents.results)
    counts = contents.counts or {name: {"test": in_test[name]} for name in contents.landmarks}
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    if len(ordered) > MAX_NAMED_BARS:
        ordered = _means(ordered)
    longest = max((sum(one.values()) for _, one in ordered), default=0) or 1
    return [
        {
            "name": name,
            "photos": photos,
            "total": sum(photos.values()),
            "widths": {split: round(100 * n / longest, 2) for split, n in photos.items()},
        }
        for name, photos in ordered
    ]


def _means(ordered):
    size = math.ceil(len(ordered) / MAX_BARS)
    bars = []
    for start in range(0, len(ordered), size):
        group = ordered[start : start + size]
        splits = [split for split in SPLITS if split in group[0][1]]
        means = {split: round(sum(c[split] for _, c in group) / len(group), 1) for split in splits}
        bars.append((f"landmarks {start + 1} to {start + len(group)}", means))
    return bars
