"""Faithfulness: scores of maps, photo by photo, and what can be said of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from glr_keras.saliency.bootstrap import bootstrap_interval
from glr_keras.saliency.measures import LARGER_IS_BETTER
from tfrecords.common.files import without_nan

HEADINGS = {  # of the printed table
    "deletion_mean": "del grey",
    "deletion_blur": "del blur",
    "insertion_mean": "ins grey",
    "insertion_blur": "ins blur",
    "deletion_correlation": "DC",
    "insertion_correlation": "IC",
    "road": "ROAD",
    "average_drop": "drop",
    "increase": "increase",
    "average_gain": "gain",
    "pointing": "pointing",
    "inside": "inside",
    "box_auc": "box AUC",
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One map minus another one, of the same photos.

    Attributes:
        mean: Of the measure, over photos.
        low, high: Ends of the paired bootstrap interval, 95 %.
        is_better: True or False where the interval excludes 0, None where it does not.
    """

    mean: float
    low: float
    high: float
    is_better: bool | None


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """What was measured of maps.

    Attributes:
        scores: Dict from map to dict from measure to float64 `(photos,)`, NaN where a photo was not
            measured. `measures.measure_curves` and `localization.localization` define them.
        curves: Dict from map to dict from "deletion_mean", ... to the answer's probability,
            float64 `(photos measured, steps + 1)`.
        fractions: Of the cells that are gone, or back, at each step: float64 `(steps + 1,)`.
        parameters: Dict of all that the numbers depend on, and how many photos were measured.
    """

    scores: dict[str, dict[str, np.ndarray]]
    curves: dict[str, dict[str, np.ndarray]]
    fractions: np.ndarray
    parameters: dict

    @property
    def measures(self) -> list[str]:
        """Names of the measures there are, in the order of the table."""
        found = next(iter(self.scores.values()))
        return [name for name in LARGER_IS_BETTER if name in found]

    def mean(self, map_name: str, measure: str) -> float:
        """Mean of a measure over the photos that were measured; NaN if there are none."""
        values = self.scores[map_name][measure]
        return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan

    def interval(self, map_name: str, measure: str) -> tuple[float, float]:
        """Bootstrap interval, 95 %, of that mean."""
        return bootstrap_interval(
            self.scores[map_name][measure], seed=self.parameters.get("seed", 0)
        )

    def difference(self, measure: str, map_name: str, other: str) -> Difference:
        """Compares two maps photo by photo."""
        values = self.scores[map_name][measure] - self.scores[other][measure]
        low, high = bootstrap_interval(values, seed=self.parameters.get("seed", 0))
        mean = float(np.nanmean(values)) if not np.isnan(values).all() else np.nan
        is_better = None
        if low > 0 or high < 0:
            is_better = (low > 0) == LARGER_IS_BETTER[measure]
        return Difference(mean, low, high, is_better)

    def ranking(self, measure: str) -> list[str]:
        """Names of the maps, the best first."""
        sign = -1 if LARGER_IS_BETTER[measure] else 1
        return sorted(self.scores, key=lambda name: sign * self.mean(name, measure))

    def as_dict(self) -> dict:
        """Returns parameters, means with intervals, mean curves and differences from the first map.

        For JSON, which has no NaN: what could not be measured is None.
        """
        first, *others = self.scores
        return without_nan(
            {
                "parameters": self.parameters,
                "maps": {
                    name: {
                        measure: {
                            "mean": self.mean(name, measure),
                            "interval": list(self.interval(name, measure)),
                        }
                        for measure in self.measures
                    }
                    for name in self.scores
                },
                "differences": {
                    f"{first} - {other}": {
                        measure: dataclasses.asdict(self.difference(measure, first, other))
                        for measure in self.measures
                    }
                    for other in others
                },
                "fractions": self.fractions.tolist(),
                "curves": {
                    name: {
                        curve: values.mean(0).tolist()
                        for curve, values in one.items()
                        if values.shape[1] == len(self.fractions)
                    }
                    for name, one in self.curves.items()
                },
                **self._about_boxes(),
            }
        )

    def _about_boxes(self):
        areas = next(iter(self.scores.values())).get("box_area")
        if areas is None or not (areas > 0).any():
            return {}
        known = areas[areas > 0]
        return {
            "boxes": {
                "photos": len(known),
                "median_area": float(np.median(known)),
                "mean_area": float(known.mean()),
            }
        }

    def __str__(self):
        width = max(map(len, self.scores))
        headings = [
            HEADINGS[name] + ("" if LARGER_IS_BETTER[name] else "*") for name in self.measures
        ]
        lines = [" ".join([" " * width, *(f"{text:>9}" for text in headings)])]
        for name in self.scores:
            cells = [self._cell(name, measure) for measure in self.measures]
            lines.append(" ".join([f"{name:<{width}}", *(f"{text:>9}" for text in cells)]))
        lines.append(self._verdicts())
        return "\n".join(lines)

    def _cell(self, name, measure):
        value = self.mean(name, measure)
        return "-" if np.isnan(value) else f"{value:.3f}"

    def _verdicts(self):
        first, *others = self.scores
        photos = self.parameters["photos"]
        lines = [f"{photos} photos; * lower is better."]
        for other in others:
            found = {one: self.difference(one, first, other).is_better for one in self.measures}
            lines.append(f"{first} against {other}: {verdict(found)}.")
        return "\n".join(lines)


def verdict(found: Mapping[str, bool | None]) -> str:
    """Says which measures are better, worse and undecided, from `Difference.is_better` of each."""
    parts = []
    for is_better, word in ((True, "better"), (False, "worse"), (None, "undecided")):
        if named := [HEADINGS[name] for name, one in found.items() if one is is_better]:
            parts.append(f"{word}: {', '.join(named)}")
    return "; ".join(parts)
