"""Linear discriminants: where photos of known landmarks differ, and how far all others spread."""

import numpy as np
import scipy.linalg

from glr_keras.calibration.train_features import TrainFeatures

TINY = 1e-12
ROUNDING = 1e-6  # of the mean square; sums in float32 are off by 1e-7


def fit_discriminant(train: TrainFeatures) -> dict[str, np.ndarray]:
    """Fits a Gaussian per landmark, all of one covariance, and one for the photos of any place.

    Their Mahalanobis distances differ by what lies in the directions in which the landmarks' means
    differ: all that is needed are these, at most `landmarks - 1`.

    Returns:
        Dict of float32 arrays, in coordinates in which a landmark's photos have covariance 1:
        "projection" `(channels, directions)`; "means" `(landmarks, directions)`;
        "background_mean" and "background_variance" `(directions,)`.

    Reference:
    - [Ioffe, 2006](https://doi.org/10.1007/11744085_41), probabilistic linear discriminants
    """
    total, counts = train.counts.sum(), train.counts
    overall = train.sums.sum(0) / total
    means = np.where(counts[:, None] > 0, train.sums / np.maximum(counts, 1)[:, None], overall)
    offsets = (means - overall) * np.sqrt(counts / total)[:, None]
    between = offsets.T @ offsets
    within = train.squares / total - np.outer(overall, overall) - between
    if np.trace(within) < ROUNDING * np.trace(train.squares) / total:
        within = np.zeros_like(within)  # no landmark has two different photos
    within = shrink_covariance(within, train.photos)
    channels = len(overall)
    directions = min(channels, max(1, len(counts) - 1))
    variances, projection = scipy.linalg.eigh(
        between, within, subset_by_index=[channels - directions, channels - 1]
    )
    arrays = {
        "projection": projection,
        "means": means @ projection,
        "background_mean": overall @ projection,
        "background_variance": 1 + np.maximum(variances, 0),
    }
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def shrink_covariance(covariance: np.ndarray, photos: int) -> np.ndarray:
    """Returns a covariance of few photos, drawn to a multiple of the identity (OAS).

    Args:
        covariance: float64 `(channels, channels)`, of a sample.
        photos: Int, how many it has been computed from.

    Reference:
    - [Chen et al., 2010](https://arxiv.org/abs/0907.4698), equation 23
    """
    size = len(covariance)
    trace, squared = np.trace(covariance), (covariance**2).sum()
    numerator = (1 - 2 / size) * squared + trace**2
    denominator = (photos + 1 - 2 / size) * (squared - trace**2 / size)
    fraction = min(1.0, numerator / denominator) if denominator > 0 else 1.0
    target = max(trace / size, TINY) * np.eye(size)
    return (1 - fraction) * covariance + fraction * target
