"""Reliability: how often answers are correct, by how sure the model is; from arrays alone."""

import numpy as np

BINS = 15  # of equal width, as in Guo et al.


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
    gaps = np.bincount(_bins(scores), correct - scores.astype(np.float64), BINS)
    return float(np.abs(gaps).sum() / len(scores))


def reliability(scores: np.ndarray, correct: np.ndarray) -> list[dict]:
    """Returns the bins of the calibration error that hold photos, the lowest scores first.

    Args:
        scores, correct: As in `expected_calibration_error`.

    Returns:
        Dicts of "photos", mean "score" and "accuracy".
    """
    bins = _bins(scores)
    photos = np.bincount(bins, minlength=BINS)
    totals = (np.bincount(bins, values, BINS) for values in (scores, correct))
    return [
        {"photos": int(count), "score": float(score / count), "accuracy": float(hits / count)}
        for count, score, hits in zip(photos, *totals, strict=True)
        if count
    ]


def measure_calibration(
    scores: np.ndarray, scaled: np.ndarray, correct: np.ndarray, temperature: float
) -> dict:
    """Measures calibration before and after temperature scaling.

    Args:
        scores: float `(photos,)` in [0, 1], of the answers.
        scaled: The same at the temperature.
        correct: bool `(photos,)`.
        temperature: Float.

    Returns:
        Dict of "temperature", and "before" and "after", each a dict of "calibration_error" and
        "bins", from `reliability`.
    """
    result: dict = {"temperature": temperature}
    for name, values in (("before", scores), ("after", scaled)):
        error = expected_calibration_error(values, correct)
        result[name] = {"calibration_error": error, "bins": reliability(values, correct)}
    return result


def _bins(scores):
    return np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
