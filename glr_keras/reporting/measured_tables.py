"""Tables of what `evaluate` and `explain` have measured of a run: slices, maps, their stability."""

from collections.abc import Mapping

from glr_keras.reporting.contents import RunContents
from glr_keras.reporting.tables import Fraction
from glr_keras.runs.slices import SLICES
from glr_keras.saliency.measures import LARGER_IS_BETTER
from glr_keras.saliency.result import HEADINGS, verdict


def slice_rows(contents: RunContents) -> list[dict]:
    """Returns "slice", what it "means", and the accuracy in it and of all "others", Fractions."""
    return [
        {
            "slice": one["slice"],
            "means": SLICES.get(one["slice"], ""),
            "accuracy": Fraction(one["correct"], one["photos"]),
            "others": Fraction(one["other_correct"], one["other_photos"]),
        }
        for one in contents.measured("slices") or []
    ]


def faithfulness_table(faithfulness: Mapping) -> dict:
    """Returns how faithful each map is, and which differences are decided.

    Args:
        faithfulness: From `saliency.result.Faithfulness.as_dict`.

    Returns:
        Dict of "headings", one per measure that there is; "rows", (name, cells) of each map; and
        "verdicts", (names, words) of each difference.
    """
    maps = faithfulness["maps"]
    first = next(iter(maps.values()))
    measures = [name for name in HEADINGS if name in first and first[name]["mean"] is not None]
    verdicts = [
        (
            names.replace(" - ", " against "),
            verdict({one: found[one]["is_better"] for one in measures}),
        )
        for names, found in faithfulness["differences"].items()
    ]
    better = {name: "higher" if LARGER_IS_BETTER[name] else "lower" for name in measures}
    return {
        "headings": [f"{HEADINGS[name]}, {better[name]} is better" for name in measures],
        "rows": [(name, [_cell(found[one]) for one in measures]) for name, found in maps.items()],
        "verdicts": verdicts,
    }


def _cell(found):
    """Returns mean and interval as text, each empty where it could not be measured."""
    mean, (low, high) = found["mean"], found["interval"]
    return (
        "" if mean is None else f"{mean:.3f}",
        "" if low is None else f"({low:.3f} to {high:.3f})",
    )
