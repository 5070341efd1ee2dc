"""Intervals of means over photos, by drawing the photos again."""

import numpy as np

DRAWS = 1000  # samples of the photos with replacement
LEVEL = 0.95
# Of fewer, all on one side of 0 by chance (1 in 16 for five) would look like a difference.
MIN_PHOTOS = 6


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Returns the percentile interval, at 95 %, of the mean of `values` over photos.

    For two maps of the same photos, pass their differences per photo: the interval is then a
    paired one, and much narrower than those of the two means.

    Args:
        values: float `(photos,)`; NaN where a photo was not measured.
        seed: Int.

    Returns:
        low, high: Floats; NaN for fewer than `MIN_PHOTOS`, of which no interval can be told.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) < MIN_PHOTOS:
        return (np.nan, np.nan)
    chosen = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    means = values[chosen].mean(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
