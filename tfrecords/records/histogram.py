"""Draws how many photos each landmark of the records has, and where they are in the long tail."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.fonts import find_fonts, lacking_scripts_as_boxes, shorten
from tfrecords.common.types import SPLITS, landmark_order

MAX_BARS = 50  # as in Figure 2 of the report; 50 names are legible at 45 degrees
MAX_LINEAR_RANKS = 1000  # on a linear axis; with more, the first ones are all one pixel
BARS_INCHES, TAIL_INCHES = 4.4, 3.4  # heights of the panels
# Okabe and Ito: colour-blind eyes see them as different
COLOURS = dict(zip(SPLITS, ("#0072b2", "#e69f00", "#56b4e9"), strict=True))
IN_RECORDS, LEFT_OUT, LEFT_OUT_NAME = "#d55e00", "#d4d4d4", "#767676"


def draw_histogram(
    counts: Mapping[str, Mapping[str, int]],
    listed: Mapping[str, int],
    names: Mapping[str, str],
    path: Path,
) -> None:
    """Writes a PNG of the photos per landmark, most photos first.

    Up to 50 landmarks listed have a bar each, with what was left out on top. Of more, or where the
    records have so few of the photos that this would hide them, only the records' landmarks have
    bars, the first 50 of them; a second panel then shows all that were listed by their rank.

    Args:
        counts: Photos in the records per landmark_id, for train, validation and test.
        listed: Photos per landmark_id before choosing and checking, at least those in the records.
        names: What to call a landmark_id; those missing go by their landmark_id.
        path: Where the PNG goes.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    kept = sum((Counter(counts[split]) for split in SPLITS), Counter())
    has_tail = len(listed) > MAX_BARS or max(kept.values()) < max(listed.values()) / 10
    heights = [BARS_INCHES, TAIL_INCHES] if has_tail else [BARS_INCHES]
    width = min(12.5, max(6.8, 1.5 + 0.3 * len(listed)))
    figure = Figure(figsize=(width, 0.4 + sum(heights)), layout="constrained")
    figure.suptitle(_count_all(kept, listed))
    panels = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
    _draw_bars(panels[0], kept if has_tail else listed, counts, names)
    if has_tail:
        which = "all" if len(kept) <= MAX_BARS else f"the first {MAX_BARS} of"
        _set_title(panels[0], f"{which} {len(kept):,} landmarks in the records")
        _draw_tail(panels[1], kept, listed)
    figure.align_ylabels()
    with lacking_scripts_as_boxes():
        figure.savefig(path, dpi=120, metadata={"Software": None})


def _rank(photos):
    """Returns the landmarks of most photos first; of equals the lower id, as `--top` takes them."""
    return sorted(photos, key=lambda one: (-photos[one], landmark_order(one)))


def _count_all(kept, listed):
    lines = [
        f"{sum(photos.values()):,} photos of {len(photos):,} landmarks {where}"
        for photos, where in ((kept, "in the records"), (listed, "listed"))
    ]
    return lines[0] if kept == listed else "\n".join(lines)


def _set_title(axes, title):
    axes.set_title(title, loc="left", fontsize=10)


def _draw_bars(axes, totals, counts, names):
    """Stacks the splits and, pale on top, what else there is of the `totals` of landmarks."""
    landmark_ids = _rank(totals)[:MAX_BARS]
    places = range(len(landmark_ids))
    bottoms = [0] * len(landmark_ids)
    for split, colour in COLOURS.items():
        photos = [counts[split].get(landmark_id, 0) for landmark_id in landmark_ids]
        if any(photos):
            axes.bar(places, photos, bottom=bottoms, color=colour, label=split)
        bottoms = [bottom + more for bottom, more in zip(bottoms, photos, strict=True)]
    rest = [totals[one] - bottom for one, bottom in zip(landmark_ids, bottoms, strict=True)]
    if any(rest):
        axes.bar(places, rest, bottom=bottoms, color=LEFT_OUT, label="left out")
    labels = [shorten(names.get(landmark_id) or landmark_id) for landmark_id in landmark_ids]
    style = {"rotation": 45, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    axes.set_xticks(places, labels, family=find_fonts(), parse_math=False, **style)
    for label, photos in zip(axes.get_xticklabels(), bottoms, strict=True):
        label.set_color("black" if photos else LEFT_OUT_NAME)
    axes.set_xlim(-0.6, len(landmark_ids) - 0.4)
    axes.yaxis.get_major_locator().set_params(integer=True)
    _finish(axes)


def _draw_tail(axes, kept, listed):
    """Draws all landmarks as one line and one set of points, which is quick for 203,094 too."""
    from matplotlib.ticker import LogLocator

    ranked = _rank(listed)
    ranks = range(1, len(ranked) + 1)
    style = "-" if len(ranked) > MAX_BARS else "_"
    axes.semilogy(ranks, [listed[one] for one in ranked], style, color="0.6", label="listed")
    points = [(rank, kept[one]) for rank, one in enumerate(ranked, 1) if one in kept]
    size = 4 if len(points) <= 200 else 2
    axes.semilogy(
        *zip(*points, strict=True), "o", ms=size, color=IN_RECORDS, label="in the records"
    )
    axes.set_xlim(0, len(ranked) + 1)
    if len(ranked) > MAX_LINEAR_RANKS:
        axes.set_xscale("log")
        axes.set_xlim(0.9, len(ranked) * 1.1)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 5)))
    axes.set_ylim(0.8, max(listed.values()) * 1.4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.set_xlabel("rank by photos listed")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _set_title(axes, f"all {len(ranked):,} landmarks listed")
    _finish(axes)


def _finish(axes):
    axes.set_ylabel("photos")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.3, "ncols": 4}
    narrow = {"handlelength": 1.2, "columnspacing": 1.2, "borderpad": 0, "fontsize": 9}
    axes.legend(frameon=False, **place, **narrow)
