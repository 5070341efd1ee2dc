"""score_histogram: how the rejection scores of photos are distributed, and where they are cut."""

import numpy as np

BINS = 30
SHOWN = (1, 99)  # percentiles of all photos; what lies beyond is in the outer bins


def score_histogram(
    known: np.ndarray, other: np.ndarray | None = None, threshold: float | None = None
) -> dict:
    """Counts photos by their rejection score.

    Args:
        known: float `(photos,)`, scores of photos of known landmarks.
        other: The same of photos of other places, if there are any.
        threshold: The lowest score that is accepted; None where all photos are.

    Returns:
        Dict of "low" and "high", the ends of the bins, which have equal widths; the counts "known",
        and "other" where there are any; "threshold".
    """
    groups = {"known": known} if other is None else {"known": known, "other": other}
    low, high = np.percentile(np.concatenate(list(groups.values())), SHOWN).tolist()
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    high = max(high, low + 1e-6)  # a head that is always as sure
    counts = {
        name: np.histogram(np.clip(scores, low, high), BINS, (low, high))[0].tolist()
        for name, scores in groups.items()
    }
    return {"low": low, "high": high, **counts, "threshold": threshold}
