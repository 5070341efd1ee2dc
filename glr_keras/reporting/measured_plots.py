"""Plots of what was measured of a run: reliability, rejection scores, deletion and insertion."""

import math
from collections.abc import Mapping, Sequence

from glr_keras.reporting.plots import (
    LEFT,
    RIGHT,
    WIDTH,
    Bars,
    Line,
    Plot,
    nice_ticks,
    ticks_between,
    ticks_of,
    to_x,
    to_y,
)

FIFTHS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
X_TICKS = [(to_x(value), f"{value:.10g}") for value in FIFTHS]
COLOURS = {  # of maps; controls are gray, so that one glance finds what they must lose to
    "attention": "attention",
    "class": "perception",
    "grad-cam": "third",
    "blurred grad-cam": "fourth",
    "random": "dotted",
}
CURVES = {
    "deletion_mean": "deletion (lower is better)",
    "insertion_mean": "insertion (higher is better)",
    "deletion_blur": "deletion to blur (lower is better)",
    "insertion_blur": "insertion into blur (higher is better)",
}
MIN_RADIUS, MAX_RADIUS = 2.0, 7.0  # of a dot, whose area follows its number of photos


def reliability_plot(calibration: Mapping) -> Plot:
    """Returns the accuracy of photos against their score, before and after the temperature.

    Args:
        calibration: From `calibration.reliability.measure_calibration`.
    """
    lines = [Line("perfect", "reference", True, [(to_x(0), to_y(0)), (to_x(1), to_y(1))])]
    for name, colour, words in (
        ("before", "perception", "at temperature 1"),
        ("after", "attention", f"at temperature {calibration['temperature']:.2f}"),
    ):
        bins, error = calibration[name]["bins"], calibration[name]["calibration_error"]
        name_of_dots = f"{words}: ECE {error:.3f}"
        lines.append(Line(name_of_dots, colour, name == "before", (), _dots(bins)))
    return Plot(
        "accuracy by score",
        "accuracy of test photos against the score of their answers; the numbers are in the table "
        "below",
        lines,
        "score of the answer",
        X_TICKS,
        ticks_of(FIFTHS, 1.0),
    )


def _dots(bins):
    most = max(one["photos"] for one in bins)
    return [
        (to_x(one["score"]), to_y(one["accuracy"]), round(max(MIN_RADIUS, radius), 1))
        for one in bins
        for radius in [MAX_RADIUS * math.sqrt(one["photos"] / most)]
    ]


def rejection_plot(histogram: Mapping, score: str) -> Plot:
    """Returns the fractions of known photos, and of others if measured, by rejection score.

    Args:
        histogram: From `calibration.score_histogram.score_histogram`.
        score: Name of the score.
    """
    low, high, threshold = (histogram[name] for name in ("low", "high", "threshold"))
    groups = {"known": ("known landmarks", "known"), "other": ("other places", "other")}
    fractions = {
        name: [count / sum(histogram[name]) for count in histogram[name]]
        for name in groups
        if name in histogram
    }
    ticks = nice_ticks(max(map(max, fractions.values())))
    bars = [Bars(*groups[name], _rectangles(one, ticks[-1])) for name, one in fractions.items()]

    def place(value):
        return to_x((value - low) / (high - low))

    return Plot(
        "fraction of photos by rejection score",
        "how many photos have which rejection score, and the threshold",
        [],
        score,
        [(place(value), f"{value:.10g}") for value in ticks_between(low, high)],
        ticks_of(ticks, ticks[-1]),
        bars,
        None if threshold is None else place(threshold),
        "accepted to the right of it",
    )


def faithfulness_plots(faithfulness: Mapping) -> list[Plot]:
    """Returns the deletion and insertion curves of all maps; none of versions that kept none.

    Args:
        faithfulness: From `saliency.result.Faithfulness.as_dict`.
    """
    curves = faithfulness.get("curves", {})
    return [
        Plot(
            title,
            f"{title}: mean probability of the answer; the areas are in the table below",
            [_curve(faithfulness, name, curve) for name in curves],
            "fraction of the cells",
            X_TICKS,
            ticks_of(FIFTHS, 1.0),
        )
        for curve, title in CURVES.items()
        if any(curve in of_map for of_map in curves.values())
    ]


def _curve(faithfulness, name, curve):
    pairs = zip(faithfulness["fractions"], faithfulness["curves"][name][curve], strict=True)
    points = [(to_x(fraction), to_y(min(value, 1.0))) for fraction, value in pairs]
    area = faithfulness["maps"][name][curve]["mean"]
    colour = COLOURS.get(name, "reference")
    return Line(f"{name}: {area:.3f}", colour, colour == "reference", points)


def _rectangles(fractions: Sequence[float], highest: float):
    width, bottom = round((WIDTH - LEFT - RIGHT) / len(fractions), 1), to_y(0)
    tops = [to_y(fraction, highest) for fraction in fractions]
    return [
        (to_x(number / len(tops)), top, width, round(bottom - top, 1))
        for number, top in enumerate(tops)
        if top < bottom
    ]
