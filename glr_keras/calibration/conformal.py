"""Conformal p-values: which photos to accept, so that known ones are accepted as often as asked."""

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95  # of the interval


def accepted_interval(validation_photos: int, accept: float) -> list[float]:
    """Returns what fraction of known photos a threshold accepts, as a 95 % interval.

    A photo is accepted where its p-value is above 1 - `accept`. The fraction accepted is fixed once
    validation photos are drawn, and has a Beta distribution over such draws.

    Reference:
    - [Vovk, 2012](https://arxiv.org/abs/1209.2673), section 3
    """
    rejected = num_rejected(validation_photos, accept)
    if not rejected:
        return [1.0, 1.0]
    accepted = beta(validation_photos + 1 - rejected, rejected)
    return [float(end) for end in accepted.interval(CONFIDENCE)]


def is_accepted(p: np.ndarray, validation_photos: int, accept: float) -> np.ndarray:
    """Whether photos pass as known landmarks, bool `(photos,)`."""
    return np.rint(p * (validation_photos + 1)) > num_rejected(validation_photos, accept)


def num_rejected(validation_photos, accept):
    """How many of the possible p-values 1 / (n + 1), 2 / (n + 1), ... are not above 1 - accept."""
    return int(np.floor((1 - accept) * (validation_photos + 1) + 1e-9))
