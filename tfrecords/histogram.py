"""Draws how many photos each landmark has: the long tail at a glance."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from tfrecords.index import SPLITS

MOST_NAMES = 60  # more bars than that have no room for names
COLOURS = ("#0072b2", "#e69f00", "#56b4e9")  # Okabe and Ito: told apart by colour-blind eyes


def draw_histogram(counts: Mapping[str, Mapping[str, int]], path: Path) -> None:
    """Writes a PNG of stacked bars, one per landmark, most photos first.

    Args:
        counts: Photos per landmark name, for each of train, validation and test.
        path: Where the PNG goes.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    names = sorted(counts["train"], key=lambda name: (-sum(counts[s][name] for s in SPLITS), name))
    width = min(16.0, max(6.0, 1.5 + 0.32 * len(names)))
    figure = Figure(figsize=(width, 4.8), layout="constrained")
    axes = figure.add_subplot()
    bottom = [0] * len(names)
    for split, colour in zip(SPLITS, COLOURS, strict=True):
        heights = [counts[split][name] for name in names]
        axes.bar(range(len(names)), heights, bottom=bottom, color=colour, label=split, width=0.8)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_title(f"{sum(bottom):,} photos of {len(names):,} landmarks")
    axes.set_ylabel("photos")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    if len(names) <= MOST_NAMES:
        labels = [name.replace("_", " ") for name in names]
        look = {"rotation": 45, "ha": "right", "fontsize": 8, "parse_math": False}
        axes.set_xticks(range(len(names)), labels, **look)
    else:
        axes.set_xlabel("landmarks, most photos first")
        axes.set_yscale("log")
    with warnings.catch_warnings():
        # A script that matplotlib's font lacks shows as boxes; the CSV beside has the names.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(path, dpi=120, metadata={"Software": None})
