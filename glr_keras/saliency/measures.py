"""Measures of one map of one photo, from the answer's probability on perturbed versions of it."""

import numpy as np

from glr_keras.saliency.grids import removal_order
from glr_keras.saliency.perturbation import PerturbedPhoto

BASELINES = ("mean", "blur")
ROAD_FRACTIONS = (0.2, 0.4, 0.6, 0.8)  # of the cells
GROUPS = ("deletion", "insertion", "road", "drop")  # what can be asked for
# Whether a larger value is better, of every measure.
LARGER_IS_BETTER = {
    "deletion_mean": False,
    "deletion_blur": False,
    "insertion_mean": True,
    "insertion_blur": True,
    "deletion_correlation": True,
    "insertion_correlation": True,
    "road": True,
    "average_drop": False,
    "increase": True,
    "average_gain": True,
    "pointing": True,
    "inside": True,
    "box_auc": True,
}


def step_counts(cells: int, steps: int) -> np.ndarray:
    """Returns how many cells are gone after each step, from 0 to all: int `(steps + 1,)`."""
    return np.unique(np.round(np.linspace(0, cells, min(steps, cells) + 1)).astype(int))


def request_versions(
    photo: PerturbedPhoto,
    saliency: np.ndarray,
    tie_break: np.ndarray,
    steps: int,
    groups=GROUPS,
    baselines=BASELINES,
) -> dict[str, list[int]]:
    """Asks for all versions of a photo that the measures of one map need.

    Args:
        photo: PerturbedPhoto.
        saliency: `(rows, columns)`.
        tie_break: Permutation `(rows, columns)`, the same for all maps.
        steps: Int, of the curves.
        groups: Names among `GROUPS`.
        baselines: Names among `BASELINES`.

    Returns:
        Dict from the name of a curve to the numbers of its versions.
    """
    order = removal_order(saliency, tie_break)
    cells = len(order)
    counts = step_counts(cells, steps)

    def gone(which):
        removed = np.zeros(cells, bool)
        removed[which] = True
        return removed.reshape(saliency.shape)

    curves = {}
    for way in baselines:
        if "deletion" in groups:
            curves[f"deletion_{way}"] = [photo.without(way, gone(order[:k])) for k in counts]
        if "insertion" in groups:
            curves[f"insertion_{way}"] = [photo.without(way, gone(order[k:])) for k in counts]
    if "road" in groups:
        parts = [round(fraction * cells) for fraction in ROAD_FRACTIONS]
        curves["road_most"] = [photo.without("impute", gone(order[:k])) for k in parts]
        curves["road_least"] = [photo.without("impute", gone(order[cells - k :])) for k in parts]
    if "drop" in groups:
        clean = photo.without("mean", gone([]))
        curves["multiplied"] = [clean, photo.multiplied(saliency)]
    return curves


def measure_curves(
    curves: dict[str, np.ndarray], saliency: np.ndarray, tie_break: np.ndarray, steps: int
) -> dict[str, float]:
    """Computes the measures of one map of one photo.

    Args:
        curves: Dict as `request_versions` returns, with the answer's probability on each version.
        saliency, tie_break, steps: As there.

    Returns:
        Dict of those among `LARGER_IS_BETTER` for which there is a curve:
        "deletion_*", "insertion_*": area under the probability against the fraction of cells that
        are gone, or back, the most salient first. "deletion_correlation" (of mean baselines) and
        "insertion_correlation" (of blur, else of mean): Pearson correlation over steps of what the
        step changes with the mean saliency of its cells. "road": half of the probability with the
        least salient cells imputed minus that with the most salient ones, over `ROAD_FRACTIONS`.
        "average_drop", "increase", "average_gain": of the photo multiplied by its map.

    Reference:
    - [Petsiuk et al., 2018](https://arxiv.org/abs/1806.07421), deletion and insertion
    - [Gomez et al., 2022](https://arxiv.org/abs/2201.13291), their correlations
    - [Rong et al., 2022](https://arxiv.org/abs/2202.00449), ROAD
    - [Chattopadhay et al., 2018](https://arxiv.org/abs/1710.11063), drop and increase
    - [Zhang et al., 2024](https://arxiv.org/abs/2301.07002), gain
    """
    order = removal_order(saliency, tie_break)
    counts = step_counts(len(order), steps)
    result = {
        name: float(np.trapezoid(curve, counts / len(order)))
        for name, curve in curves.items()
        if name.startswith(("deletion_", "insertion_"))
    }
    per_step = mean_of_steps(saliency.ravel()[order], counts)
    if "deletion_mean" in curves:
        change = -np.diff(curves["deletion_mean"])
        result["deletion_correlation"] = correlation(change, per_step)
    if inserted := [name for name in ("insertion_blur", "insertion_mean") if name in curves]:
        result["insertion_correlation"] = correlation(np.diff(curves[inserted[0]]), per_step)
    if "road_most" in curves:
        result["road"] = float((curves["road_least"] - curves["road_most"]).mean() / 2)
    if "multiplied" in curves:
        result |= drop_and_gain(*curves["multiplied"].tolist())
    return result


def mean_of_steps(ordered: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Averages the values of the cells that go in each step: `(steps,)`."""
    return np.add.reduceat(ordered, counts[:-1]) / np.diff(counts)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation; 0 where one of the two does not vary."""
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 1e-12 else 0.0


def drop_and_gain(clean: float, multiplied: float) -> dict[str, float]:
    """Compares the answer's probability with that on the photo multiplied by its map.

    Returns:
        Dict: "average_drop", relative to `clean`; "increase", 1 or 0; "average_gain", relative to
        what is left up to 1. All in [0, 1].
    """
    return {
        "average_drop": max(clean - multiplied, 0.0) / max(clean, 1e-7),
        "increase": float(multiplied > clean),
        "average_gain": max(multiplied - clean, 0.0) / max(1 - clean, 1e-7),
    }
