"""Calibration and a test for pairs: statistics of answers, from arrays alone."""

import numpy as np
from scipy.stats import binomtest

BINS = 15  # of equal width, for the calibration error, as in Guo et al.


def expected_calibration_error(scores: np.ndarray, correct: np.ndarray) -> float:
    """Returns how far accuracy is from the probability of the answer, on average over photos.

    Sum over 15 bins of the score, each `(low, high]`, of (photos in the bin / photos) x
    |accuracy in the bin - mean score in the bin|.

    Args:
        scores: float `(photos,)` in [0, 1], of the answers.
        correct: bool `(photos,)`.

    Reference:
    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), equation 3
    """
    bins = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, correct - scores.astype(np.float64), BINS)
    return float(np.abs(gaps).sum() / len(scores))


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict:
    """Tests whether two models are correct equally often, from the photos where one of them is.

    Exact: under the null hypothesis, each such photo goes to either model with probability 1/2.

    Args:
        first, second: bool `(photos,)`, whether each model is correct.

    Returns:
        Dict of "only_first" and "only_second" (photos where one alone is correct), "both",
        "neither" and "p_value" (two-sided).

    Reference:
    - [McNemar, 1947](https://doi.org/10.1007/BF02295996)
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    changed = only_first + only_second
    return {
        "both": int((first & second).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "neither": int((~first & ~second).sum()),
        "p_value": float(binomtest(only_first, changed).pvalue) if changed else 1.0,
    }
