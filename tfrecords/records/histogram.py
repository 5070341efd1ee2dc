"""Draws how many photos each landmark has, and which of them the records hold: the long tail."""

from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.fonts import find_fonts, lacking_scripts_as_boxes, shorten
from tfrecords.common.types import SPLITS, landmark_order

MOST_BARS = 50  # as in Figure 2 of the report; 50 names are legible at 45 degrees
MOST_LINEAR = 1000  # ranks on a linear axis; with more, the first ones are all one pixel
# Okabe and Ito: told apart by colour-blind eyes
COLOURS = dict(zip(SPLITS, ("#0072b2", "#e69f00", "#56b4e9"), strict=True))
RECORDS, LEFT_OUT, LEFT_OUT_NAME = "#d55e00", "#d4d4d4", "#767676"


def draw_histogram(
    counts: Mapping[str, Mapping[str, int]],
    listed: Mapping[str, int],
    names: Mapping[str, str],
    path: Path,
) -> None:
    """Writes a PNG of the photos per landmark, most photos first.

    The first panel has bars of the first 50 landmarks listed. Where more are listed, a second
    shows all of them by rank. A third has the records' own bars where the first shows little of
    them: landmarks from deep in the tail, or few photos of many.

    Args:
        counts: Photos in the records per chosen landmark_id, for train, validation and test.
        listed: Photos per landmark_id before choosing and checking, at least the chosen ones.
        names: What to call a landmark_id; those missing go by their landmark_id.
        path: Where the PNG goes.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    kept = _add_splits(counts)
    ranked = sorted(listed, key=lambda i: (-listed[i], landmark_order(i)))  # as chosen by rank
    chosen = sorted((i for i in ranked if i in kept), key=lambda i: -kept[i])
    heights = {"first": 4.4}  # inches
    if len(listed) > MOST_BARS:
        heights["tail"] = 3.4
    if _shows_little(ranked[:MOST_BARS], kept, listed):
        heights["records"] = 4.4
    rows, ratios = [[panel] for panel in heights], list(heights.values())
    width = min(12.5, max(6.8, 1.5 + 0.3 * len(listed)))
    figure = Figure(figsize=(width, 0.4 + sum(ratios)), layout="constrained")
    figure.suptitle(_count_all(kept, listed))
    panels = figure.subplot_mosaic(rows, height_ratios=ratios)
    _draw_bars(panels["first"], ranked[:MOST_BARS], counts, listed, names)
    if len(panels) > 1:
        _set_title(panels["first"], MOST_BARS, len(listed), "listed")
    if "tail" in panels:
        _draw_tail(panels["tail"], ranked, kept, listed)
    if "records" in panels:
        _draw_bars(panels["records"], chosen[:MOST_BARS], counts, kept, names)
        _set_title(panels["records"], MOST_BARS, len(kept), "in the records")
    figure.align_ylabels()
    _save(figure, path)


def _add_splits(counts):
    kept = {}
    for split in SPLITS:
        for landmark_id, photos in counts[split].items():
            kept[landmark_id] = kept.get(landmark_id, 0) + photos
    return kept


def _shows_little(first, kept, listed):
    """Whether bars of `first` have few of the records' landmarks, or only their lowest tenth."""
    shown = [kept[landmark_id] for landmark_id in first if landmark_id in kept]
    few = len(shown) < min(len(kept), MOST_BARS) / 2
    return few or max(shown) < max(listed.values()) / 10


def _count_all(kept, listed):
    lines = [
        f"{sum(photos.values()):,} photos of {len(photos):,} landmarks {where}"
        for photos, where in ((kept, "in the records"), (listed, "listed"))
    ]
    return lines[0] if kept == listed else "\n".join(lines)


def _set_title(axes, most, total, where):
    which = f"all {total:,}" if total <= most else f"the first {most} of {total:,}"
    axes.set_title(f"{which} landmarks {where}", loc="left", fontsize=10)


def _draw_bars(axes, landmark_ids, counts, listed, names):
    """Stacks the splits and, pale on top, what is listed and not in the records."""
    places = range(len(landmark_ids))
    tops = [0] * len(landmark_ids)
    for split, colour in COLOURS.items():
        photos = [counts[split].get(landmark_id, 0) for landmark_id in landmark_ids]
        if any(photos):
            axes.bar(places, photos, bottom=tops, color=colour, label=split)
        tops = [top + more for top, more in zip(tops, photos, strict=True)]
    rest = [listed[landmark_id] - top for landmark_id, top in zip(landmark_ids, tops, strict=True)]
    if any(rest):
        axes.bar(places, rest, bottom=tops, color=LEFT_OUT, label="left out")
    labels = [shorten(names.get(landmark_id) or landmark_id) for landmark_id in landmark_ids]
    look = {"rotation": 45, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    axes.set_xticks(places, labels, family=find_fonts(), parse_math=False, **look)
    for name, photos in zip(axes.get_xticklabels(), tops, strict=True):
        name.set_color("black" if photos else LEFT_OUT_NAME)
    axes.set_xlim(-0.6, len(landmark_ids) - 0.4)
    axes.yaxis.get_major_locator().set_params(integer=True)
    _finish(axes)


def _draw_tail(axes, ranked, kept, listed):
    """Draws all landmarks as one line and one set of points, which is quick for 203,094 too."""
    from matplotlib.ticker import LogLocator

    axes.axvspan(0, MOST_BARS + 0.5, color="0.95", zorder=0, label=f"the first {MOST_BARS}")
    ranks = range(1, len(ranked) + 1)
    axes.semilogy(ranks, [listed[i] for i in ranked], color="0.6", label="listed")
    points = [(rank, kept[i]) for rank, i in enumerate(ranked, 1) if i in kept]
    size = 4 if len(points) <= 200 else 2
    axes.semilogy(*zip(*points, strict=True), "o", ms=size, color=RECORDS, label="in the records")
    axes.set_xlim(0, len(ranked) + 1)
    if len(ranked) > MOST_LINEAR:
        axes.set_xscale("log")
        axes.set_xlim(0.9, len(ranked) * 1.1)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 5)))
    axes.set_ylim(0.8, max(listed.values()) * 1.4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.set_xlabel("rank by photos listed")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _set_title(axes, len(ranked), len(ranked), "listed")
    _finish(axes)


def _finish(axes):
    axes.set_ylabel("photos")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.3, "ncols": 4}
    narrow = {"handlelength": 1.2, "columnspacing": 1.2, "borderpad": 0, "fontsize": 9}
    axes.legend(frameon=False, **above, **narrow)


def _save(figure, path):
    with lacking_scripts_as_boxes():
        figure.savefig(path, dpi=120, metadata={"Software": None})
