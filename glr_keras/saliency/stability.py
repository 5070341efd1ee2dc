"""How much maps of the same photos agree: rank correlation, and overlap of the highest cells."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata

from glr_keras.saliency.grids import coarsest_grid, removal_order, to_grid
from glr_keras.saliency.measures import correlation

TOP_FRACTION = 0.2  # of the cells, in the overlap


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman correlation of two maps of each photo; equal values share their mean rank.

    Args:
        first, second: `(photos, rows, columns)`.

    Returns:
        float64 `(photos,)` in [-1, 1]; 0 where a map has one value only.
    """
    pairs = zip(first, second, strict=True)
    ranks = [(rankdata(one), rankdata(other)) for one, other in pairs]
    return np.array([correlation(*pair) for pair in ranks])


def top_overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of the highest fifth of the cells of each photo's two maps.

    Returns:
        float64 `(photos,)` in [0, 1]; random maps have 1/9 in the mean.
    """
    return np.array([_overlap(one, other) for one, other in zip(first, second, strict=True)])


def _overlap(first, second):
    ties = np.random.default_rng(0).permutation(first.size).reshape(first.shape)
    size = max(1, round(TOP_FRACTION * first.size))
    one, other = (set(removal_order(saliency, ties)[:size]) for saliency in (first, second))
    return len(one & other) / len(one | other)


def stability(maps: Sequence[np.ndarray]) -> dict[str, float]:
    """Compares the maps that several models give of the same photos, each with each.

    Args:
        maps: Of each model, `(photos, rows, columns)`; brought to the coarsest grid among them.

    Returns:
        Dict: "rank_correlation" and "top_overlap", means over photos and pairs of models;
        "lowest_rank_correlation", of the pair that agrees least; "pairs".

    Raises:
        ValueError: fewer than two models.
    """
    if len(maps) < 2:
        raise ValueError(f"expected maps of two models or more, got {len(maps)}")
    grid = coarsest_grid(maps)
    pairs = list(itertools.combinations([to_grid(one, *grid) for one in maps], 2))
    correlations = [float(rank_correlations(*pair).mean()) for pair in pairs]
    return {
        "rank_correlation": float(np.mean(correlations)),
        "lowest_rank_correlation": min(correlations),
        "top_overlap": float(np.mean([top_overlaps(*pair).mean() for pair in pairs])),
        "pairs": len(pairs),
    }


def randomization_check(
    stages: Sequence[tuple[str, Sequence]], compute_maps: Callable[[], np.ndarray]
) -> list[tuple[str, float]]:
    """Randomises a model from the top down: maps that depend on it must change.

    The values of each weight are shuffled, so that their distribution stays; each stage comes on
    top of those before. In the end all weights are as they were.

    Args:
        stages: (name, variables), the last layers first. Variables have `numpy` and `assign`.
        compute_maps: From the model as it stands, to `(photos, rows, columns)`.

    Returns:
        (name, mean rank correlation with the maps of the trained model) after each stage.

    Reference:
    - [Adebayo et al., 2018](https://arxiv.org/abs/1810.03292), section 3.2
    """
    random = np.random.default_rng(0)
    trained = compute_maps()
    before = [[np.array(variable.numpy()) for variable in variables] for _, variables in stages]
    found = []
    try:
        for (name, variables), values in zip(stages, before, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(random.permutation(value.ravel()).reshape(value.shape))
            found.append((name, float(rank_correlations(trained, compute_maps()).mean())))
    finally:
        for (_, variables), values in zip(stages, before, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
    return found
