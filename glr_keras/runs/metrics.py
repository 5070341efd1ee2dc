"""What is measured on a split, from logits: numbers a reader can check by hand."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

TOP = 5  # of the highest logits, for the second accuracy
MAX_CONFUSED_PAIRS = 20  # listed in metrics.json and drawn


class SplitMetrics:
    """Measures each output of a head on one split, batch by batch.

    Keeps a few numbers per photo and never the logits: memory is linear in photos and landmarks.

    Args:
        temperature: Float, of the measure "scaled_score".
    """

    def __init__(self, temperature: float = 1.0):
        self._temperature = temperature
        self._labels: list[np.ndarray] = []
        self._outputs: dict[str, list[dict]] = {}

    def update(self, logits: dict[str, np.ndarray], labels: np.ndarray) -> None:
        """Adds a batch.

        Args:
            logits: Dict of float32 `(batch, landmarks)`: those of the answer under "", and of each
                branch under its name.
            labels: int64 `(batch,)`.
        """
        self._labels.append(labels)
        for output, values in logits.items():
            log_probabilities = log_softmax(values)
            of_photos = {
                "predicted": log_probabilities.argmax(1),
                "in_top": ranks(values, labels) < TOP,
                "loss": -log_probabilities[np.arange(len(labels)), labels],
                "score": log_probabilities.max(1),
                "scaled_score": log_softmax(log_probabilities / self._temperature).max(1),
            }
            self._outputs.setdefault(output, []).append(of_photos)

    @property
    def labels(self) -> np.ndarray:
        """Labels of all photos so far, int64 `(photos,)`."""
        return np.concatenate(self._labels)

    def predicted(self, output: str = "") -> np.ndarray:
        """Returns the predicted labels of all photos so far, int64 `(photos,)`."""
        return self.of_photos("predicted", output)

    def of_photos(self, measure: str, output: str = "") -> np.ndarray:
        """Returns a measure of all photos so far, array `(photos,)`.

        Args:
            measure: "loss", cross-entropy in nats; "score", log of the highest probability; or
                "scaled_score", the same at the temperature.
            output: Name of a branch; empty for the answer.
        """
        return np.concatenate([of_photos[measure] for of_photos in self._outputs[output]])

    def result(self, photo_ids: Sequence[str], names: Sequence[str]) -> dict:
        """Returns what was measured.

        Args:
            photo_ids: One per photo, in the order of the batches.
            names: Landmark names in label order.

        Returns:
            Dict of "photos"; "accuracy", "top5_accuracy", "loss" (cross-entropy, nats) and
            "global_average_precision" of the answer, and of each branch with its name before;
            "per_landmark": the answer's accuracy and the number of photos, per landmark that has
            any; and "most_confused", from `most_confused`.
        """
        labels = self.labels
        result: dict[str, Any] = {"photos": len(labels)}
        for output in sorted(self._outputs):
            prefix = f"{output}_" if output else ""
            correct = self.predicted(output) == labels
            result |= {
                f"{prefix}accuracy": float(correct.mean()),
                f"{prefix}top{TOP}_accuracy": float(self.of_photos("in_top", output).mean()),
                f"{prefix}loss": float(self.of_photos("loss", output).mean()),
                f"{prefix}global_average_precision": global_average_precision(
                    correct, self.of_photos("score", output), photo_ids
                ),
            }
        predicted = self.predicted()
        result["per_landmark"] = accuracy_per_landmark(labels, predicted, names)
        result["most_confused"] = most_confused(labels, predicted, names)
        return result


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the place of each photo's landmark by logit, from 0 on (ties: lower label first).

    Args:
        logits: float `(photos, landmarks)`.
        labels: int64 `(photos,)`.

    Returns:
        int64 `(photos,)`.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    is_lower_label = np.arange(logits.shape[1]) < labels[:, None]
    return (logits > own).sum(1) + ((logits == own) & is_lower_label).sum(1)


def global_average_precision(
    correct: np.ndarray,
    scores: np.ndarray,
    photo_ids: Sequence[str],
    with_landmark: int | None = None,
) -> float:
    """The challenge's score (micro average precision) of one prediction per photo.

    Predictions are sorted by score, highest first, ties by photo id; each correct one adds the
    precision down to it; the sum is divided by the number of photos that show a landmark. Photos
    that show none stay in the list, where their predictions are wrong and lower the precision.

    Args:
        correct: bool `(photos,)`, whether the prediction is correct.
        scores: float `(photos,)`.
        photo_ids: One per photo.
        with_landmark: Int, how many of the photos show a landmark; None: all of them.

    Returns:
        Float in [0, 1]; NaN if no photo shows a landmark.

    Reference:
    - [The 2018 challenge](https://www.kaggle.com/c/landmark-recognition-challenge), evaluation
    """
    with_landmark = len(correct) if with_landmark is None else with_landmark
    if not with_landmark:
        return math.nan
    # Not by lexsort: an array of strings pads each to the longest.
    by_id = np.array(sorted(range(len(photo_ids)), key=photo_ids.__getitem__), np.int64)
    order = by_id[np.argsort(-scores[by_id], kind="stable")]
    correct = correct[order]
    precision = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    return float((precision * correct).sum() / with_landmark)


def accuracy_per_landmark(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> dict[str, dict]:
    """Returns name -> "accuracy" and "photos" of each landmark that has photos."""
    photos = np.bincount(labels, minlength=len(names))
    correct = np.bincount(labels[labels == predicted], minlength=len(names))
    return {
        names[label]: {
            "accuracy": float(correct[label] / photos[label]),
            "photos": int(photos[label]),
        }
        for label in np.flatnonzero(photos).tolist()
    }


def most_confused(
    labels: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    count: int = MAX_CONFUSED_PAIRS,
) -> list[dict]:
    """Returns the pairs of landmarks that were confused most often, most photos first.

    Ties go to the lower labels. Linear in the photos: a matrix of all pairs of 20,000 landmarks
    would take 3 GB.

    Returns:
        At most `count` dicts of "landmark" (shown), "predicted" and "photos".
    """
    wrong = labels != predicted
    pairs, photos = np.unique(labels[wrong] * len(names) + predicted[wrong], return_counts=True)
    best = np.argsort(-photos, kind="stable")[:count]
    return [
        {
            "landmark": names[pair // len(names)],
            "predicted": names[pair % len(names)],
            "photos": int(number),
        }
        for pair, number in zip(pairs[best], photos[best], strict=True)
    ]


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_landmarks: int) -> np.ndarray:
    """Counts photos: `[i, j]` of landmark i were taken for landmark j."""
    matrix = np.zeros((num_landmarks, num_landmarks), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log of the softmax over the last axis, in float64."""
    return special.log_softmax(logits.astype(np.float64), axis=-1)
