"""The pictures of a search, as PNG files. Colours can be told apart by colour-blind eyes."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from glr_keras.reporting.figures import PERCEPTION, save_figure
from tuning.plan import SearchPlan
from tuning.store import SearchDir
from tuning.trials import Trial, best_first, show_value

MAX_CELLS = 8  # along a side of the heat map; more values are put together
BINS = 5
BEST = FAILED = "#d55e00"  # vermilion of Okabe and Ito
MAP = "cividis"


def draw_search(search: SearchDir, plan: SearchPlan, trials: Sequence[Trial]) -> None:
    """Writes best_so_far, parallel_coordinates and, where both are searched, alpha_beta.

    Args:
        search: SearchDir.
        plan: SearchPlan.
        trials: All that have ended, in the order of their starts; one at least has a score.
    """
    draw_best_so_far(trials, plan, search.figure("best_so_far"))
    scored = best_first(list(trials), plan.direction)
    draw_parallel_coordinates(scored, plan.names, plan, search.figure("parallel_coordinates"))
    if {"alpha", "beta"} <= set(plan.names):
        with_both = [one for one in scored if {"alpha", "beta"} <= set(one.values)]
        if with_both:
            draw_alpha_beta(with_both, plan, search.figure("alpha_beta"))


def draw_best_so_far(trials: Sequence[Trial], plan: SearchPlan, path: Path) -> None:
    """Draws the score of each trial and the best one up to it; failed ones as crosses below."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    places = [number for number, one in enumerate(trials, 1) if one.score is not None]
    scores = [one.score for one in trials if one.score is not None]
    accumulate = np.maximum if plan.direction == "max" else np.minimum
    axes.plot(places, scores, "o", ms=5, color="0.6", label="trial")
    axes.step(
        places, accumulate.accumulate(scores), where="post", color=PERCEPTION, lw=2, label="best"
    )
    if failed := [number for number, one in enumerate(trials, 1) if one.status == "failed"]:
        low = min(scores) - 0.05 * (max(scores) - min(scores) or 1)
        axes.plot(failed, [low] * len(failed), "x", ms=7, color=FAILED, label="failed")
    axes.set(xlabel="trial", ylabel=_readable(plan.objective), title=f"{len(trials)} trials")
    axes.locator_params(axis="x", integer=True)
    if plan.direction == "max":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    save_figure(figure, path)


def draw_parallel_coordinates(
    scored: Sequence[Trial], names: Sequence[str], plan: SearchPlan, path: Path
) -> None:
    """Draws a line per completed trial through its hyperparameters, to its score on the right.

    Where a hyperparameter was not active, the line passes below its axis.

    Args:
        scored: Completed trials, best first.
        names: Hyperparameters, from left to right.
        plan: SearchPlan.
        path: Where the PNG goes.
    """
    figure = Figure(figsize=(max(7.0, 1.5 * (len(names) + 1)), 4.8), layout="constrained")
    axes = figure.add_subplot()
    columns = [_Column(name, [one.values.get(name) for one in scored], plan) for name in names]
    scores = _Column(plan.objective, [one.score for one in scored], plan)
    low, high = min(scores.values), max(scores.values)
    colours = colormaps[MAP]
    norm = Normalize(low, high if high > low else low + 1)
    for row in reversed(range(len(scored))):  # the best on top
        heights = [column.height(row) for column in (*columns, scores)]
        is_best = row == 0
        axes.plot(
            range(len(heights)),
            heights,
            color=BEST if is_best else colours(norm(scores.values[row])),
            lw=2.5 if is_best else 1.2,
            alpha=1.0 if is_best else 0.75,
            label="best" if is_best else None,
        )
    for place, column in enumerate((*columns, scores)):
        axes.axvline(place, color="0.3", lw=0.8, zorder=0)
        for height, text in column.ticks():
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8,
                va="center", bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.8},
            )  # fmt: skip
    labels = [_readable(name, "\n") for name in (*names, plan.objective)]
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.set_yticks([])
    axes.set(xlim=(-0.1, len(names) + 0.6), ylim=(-0.2, 1.06))
    axes.spines[:].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, -0.02), fontsize=9)
    axes.set_title(f"{len(scored)} trials; bright lines are good ones" if plan.direction == "max"
                   else f"{len(scored)} trials; dark lines are good ones")  # fmt: skip
    save_figure(figure, path)


def draw_alpha_beta(scored: Sequence[Trial], plan: SearchPlan, path: Path) -> None:
    """Draws the mean score for each alpha and beta, with its spread over the trials of a cell.

    With an alpha-beta grid the trials of a cell differ in their seeds; in another search in
    everything else, too, and the title says so.
    """
    alphas, betas = (_bins(scored, plan, name) for name in ("alpha", "beta"))
    cells: dict[tuple[int, int], list[float]] = {}
    for one in scored:
        if one.score is None:
            continue
        place = _bin_of(one.values["beta"], betas), _bin_of(one.values["alpha"], alphas)
        cells.setdefault(place, []).append(one.score)
    means = np.full((len(betas), len(alphas)), np.nan)
    for place, scores in cells.items():
        means[place] = np.mean(scores)
    figure = Figure(
        figsize=(2.6 + 1.25 * len(alphas), 1.9 + 0.8 * len(betas)), layout="constrained"
    )
    axes = figure.add_subplot(facecolor="0.9")  # where nothing was tried
    image = axes.imshow(means, cmap=MAP, aspect="auto", origin="lower")
    style = PercentFormatter(1) if plan.direction == "max" else None
    figure.colorbar(image, ax=axes, label=f"mean {_readable(plan.objective)}", format=style)
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (row, column), scores in cells.items():
        colour = "black" if means[row, column] > middle else "white"
        axes.text(column, row, _cell_text(scores, plan), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(alphas)), [_bin_name(one) for one in alphas])
    axes.set_yticks(range(len(betas)), [_bin_name(one) for one in betas])
    others = set(plan.names) - {"alpha", "beta"}
    varied = "the seed" if others == {"seed"} else "all else that was searched"
    axes.set(
        xlabel="alpha, weight of the attention branch's loss",
        ylabel="beta, weight of the\nperception branch's loss",
        title=f"Mean ± standard deviation (trials); in a cell {varied} varies",
    )
    save_figure(figure, path)


class _Column:
    """One axis of parallel coordinates: where each trial's value stands, from 0 to 1."""

    def __init__(self, name, values, plan):
        self.values = values
        given = [value for value in values if value is not None]
        dimension = next((one for one in plan.dimensions if one.name == name), None)
        self._is_choice = bool(dimension and dimension.values)
        self._is_log = bool(dimension and dimension.sampling == "log")
        self._places = list(dimension.values) if self._is_choice else []
        self._low, self._high = (
            (min(given), max(given)) if given and not self._is_choice else (0, 1)
        )

    def height(self, row):
        value = self.values[row]
        return -0.15 if value is None else self._scale(value)

    def ticks(self):
        if self._is_choice:
            step = max(1, -(-(len(self._places) - 1) // 7))
            shown = self._places[::step]
        elif self._high == self._low:
            shown = [self._low]
        else:
            shown = [self._unscale(height) for height in (0, 0.25, 0.5, 0.75, 1)]
        return [(self._scale(value), _short(value)) for value in shown]

    def _scale(self, value):
        if self._is_choice:
            return self._places.index(value) / max(len(self._places) - 1, 1)
        if self._high == self._low:
            return 0.5
        low, high = self._low, self._high
        if self._is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)

    def _unscale(self, height):
        if self._is_log:
            return self._low * (self._high / self._low) ** height
        return self._low + height * (self._high - self._low)


def _bins(scored, plan, name):
    """Returns (low, high) of each row or column: single values where those are few and chosen."""
    distinct = sorted({one.values[name] for one in scored})
    dimension = next(one for one in plan.dimensions if one.name == name)
    if len(distinct) == 1 or (dimension.values and len(distinct) <= MAX_CELLS):
        return [(value, value) for value in distinct]
    space = np.geomspace if dimension.sampling == "log" else np.linspace
    edges = space(distinct[0], distinct[-1], BINS + 1)
    return list(itertools.pairwise(edges))


def _bin_of(value, bins):
    return next((number for number, (low, high) in enumerate(bins) if value <= high), len(bins) - 1)


def _bin_name(one):
    low, high = one
    return f"{low:.3g}" if low == high else f"{low:.2g} to {high:.2g}"


def _cell_text(scores, plan):
    is_fraction = plan.direction == "max"
    mean = f"{100 * np.mean(scores):.1f} %" if is_fraction else f"{np.mean(scores):.3f}"
    if len(scores) == 1:
        return f"{mean}\n(1)"
    spread = np.std(scores, ddof=1)
    shown = f"{100 * spread:.1f}" if is_fraction else f"{spread:.3f}"
    return f"{mean}\n± {shown} ({len(scores)})"


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else show_value(value)


def _readable(name, space=" "):
    return name.removeprefix("val_").replace("_", space) + (
        f"{space}(validation)" if name.startswith("val_") else ""
    )
