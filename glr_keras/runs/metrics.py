"""What is measured on a split, from logits: numbers a reader can check by hand."""

import numpy as np


def measure(logits: dict[str, np.ndarray], labels: np.ndarray, photo_ids, names) -> dict:
    """Measures each output of a head on one split.

    Args:
        logits: Dict from output name to `(photos, landmarks)`, float32.
        labels: int64 `(photos,)`.
        photo_ids: Strings, one per photo.
        names: Landmark names in label order.

    Returns:
        Dict of "photos"; for each output "accuracy", "top5_accuracy", "loss" (cross-entropy, nats)
        and "global_average_precision", prefixed with its name; and "per_landmark": the perception
        branch's accuracy and the number of photos, per landmark that has any.
    """
    result = {"photos": len(labels)}
    for output in sorted(logits):
        log_probabilities = log_softmax(logits[output])
        predicted = log_probabilities.argmax(1)
        result |= {
            f"{output}_accuracy": float((predicted == labels).mean()),
            f"{output}_top5_accuracy": top_accuracy(logits[output], labels, 5),
            f"{output}_loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
            f"{output}_global_average_precision": global_average_precision(
                predicted == labels, log_probabilities.max(1), photo_ids
            ),
        }
    right = logits["perception"].argmax(1) == labels
    result["per_landmark"] = {
        names[label]: {
            "accuracy": float(right[labels == label].mean()),
            "photos": int((labels == label).sum()),
        }
        for label in np.unique(labels)
    }
    return result


def top_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of photos whose landmark is among the `k` highest logits (ties: lower label first)."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(1).mean())


def global_average_precision(right: np.ndarray, scores: np.ndarray, photo_ids) -> float:
    """The challenge's score (micro average precision) of one prediction per photo.

    Predictions are sorted by score, highest first, ties by photo id; each correct one adds the
    precision down to it; the sum is divided by the number of photos that show a landmark, which
    here is all of them.

    Args:
        right: bool `(photos,)`, whether the prediction is correct.
        scores: float `(photos,)`.
        photo_ids: Strings, one per photo.

    Reference:
    - [The 2018 challenge](https://www.kaggle.com/c/landmark-recognition-challenge), evaluation
    """
    order = np.lexsort((np.asarray(photo_ids), -scores))
    right = right[order]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float((precision * right).sum() / len(right))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_landmarks: int) -> np.ndarray:
    """Counts photos: `[i, j]` of landmark i were taken for landmark j."""
    matrix = np.zeros((num_landmarks, num_landmarks), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log of the softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
