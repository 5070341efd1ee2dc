"""wilson_interval: the interval of a fraction of photos."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

CONFIDENCE = 0.95  # of all intervals


def wilson_interval(successes: ArrayLike, trials: ArrayLike) -> np.ndarray:
    """Returns the 95 % interval of fractions, float64 `(..., 2)`; [0, 1] where nothing was tried.

    Args:
        successes: int `(...)`.
        trials: int `(...)`, at least as many.

    Reference:
    - [Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953)
    """
    trials = np.asarray(trials, np.float64)
    z = norm.ppf((1 + CONFIDENCE) / 2)
    count = np.maximum(trials, 1)
    fraction = np.asarray(successes, np.float64) / count
    centre = fraction + z**2 / (2 * count)
    half = z * np.sqrt(fraction * (1 - fraction) / count + z**2 / (4 * count**2))
    ends = np.stack([centre - half, centre + half], -1) / (1 + z**2 / count)[..., None]
    return np.where(trials[..., None] > 0, np.clip(ends, 0, 1), [0.0, 1.0])
