"""A test for pairs: which of two models is correct more often, from arrays alone."""

import numpy as np
from scipy.stats import binomtest


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
