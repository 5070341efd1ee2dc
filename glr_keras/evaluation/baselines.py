"""What an answer must be better than: the largest landmark, and the most similar train photo."""

import numpy as np

from glr_keras.calibration.evidence import average
from glr_keras.data.records import Records
from glr_keras.evaluation.answers import accuracies
from glr_keras.evaluation.sources import Evaluated
from glr_keras.features.store import FeatureViews

MAJORITY, NEAREST = "majority class", "nearest neighbour"


def measure_baselines(evaluated: Evaluated, records: Records, split: str) -> dict[str, dict]:
    """Measures what needs no training on a split of the records.

    Returns:
        Dict of "majority class": naming the landmark with most train photos always; and, where the
        run has stored features, "nearest neighbour": naming that of the train photo (in any stored
        view) whose features, averaged over space, have the largest cosine similarity. Each is a
        dict as `answers.accuracies` returns.
    """
    train, views = evaluated.stored_views(records, "train"), evaluated.stored_views(records, split)
    train_labels, labels = (evaluated.labels(records, one) for one in ("train", split))
    num_landmarks = len(evaluated.landmarks)
    most = np.bincount(train_labels, minlength=num_landmarks).argmax()
    result = {MAJORITY: accuracies(labels == most, labels, num_landmarks)}
    if train is not None and views is not None:
        result[NEAREST] = accuracies(nearest_labels(train, views) == labels, labels, num_landmarks)
    return result


def nearest_labels(train: FeatureViews, views: FeatureViews) -> np.ndarray:
    """Returns the label of the train photo most similar to each photo, int64 `(photos,)`.

    Train features are read in batches and never all in memory. Of equals, the first one counts.
    """
    photos = np.concatenate([pooled(features) for features, _ in views.in_order()])
    best = np.full(len(photos), -np.inf, np.float32)
    labels = np.zeros(len(photos), np.int64)
    for features, train_labels in train.in_order():
        similarities = photos @ pooled(features).T
        nearest = similarities.argmax(1)
        highest = similarities[np.arange(len(photos)), nearest]
        is_better = highest > best
        best[is_better] = highest[is_better]
        labels[is_better] = train_labels[nearest[is_better]]
    return labels


def pooled(features: np.ndarray) -> np.ndarray:
    """Averages features over space and scales them to length 1.

    Args:
        features: `(batch, height, width, channels)`.

    Returns:
        float32 `(batch, channels)`.
    """
    averages = average(features)
    return averages / np.maximum(np.linalg.norm(averages, axis=1, keepdims=True), 1e-12)
