"""Compares two models on the same photos: who is correct where the other is not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glr_keras.evaluation.evaluating import Evaluation
from glr_keras.evaluation.mcnemar import mcnemar
from glr_keras.evaluation.sources import Evaluated
from tfrecords.common.console import UserError

SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Comparison:
    """The answers of two models to the photos that both could read.

    Attributes:
        photos: Ids or paths.
        labels: int64 `(photos,)`; all are of landmarks.
        predicted: int64 `(2, photos)`.
        scores: float64 `(2, photos)`.
        test: What `mcnemar.mcnemar` returns.
    """

    photos: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    test: dict

    @property
    def changed(self) -> np.ndarray:
        """Numbers of the photos that one model alone names correctly."""
        first, second = self.predicted == self.labels
        return np.flatnonzero(first != second)


def check_same_landmarks(first: Evaluated, second: Evaluated) -> None:
    """Raises a UserError where two models know other landmarks."""
    if first.landmarks == second.landmarks:
        return
    missing = [sorted(set(a.landmarks) - set(b.landmarks)) for a, b in _both_ways(first, second)]
    parts = [
        f"{len(names):,} that only {one.path} knows ({', '.join(names[:SHOWN])})"
        for one, names in zip((first, second), missing, strict=True)
        if names
    ]
    raise UserError(
        f"{first.path} and {second.path} know other landmarks: "
        f"{'; '.join(parts) or 'the same ones in another order'}. Expected two models of the same "
        "landmarks. Evaluate each by itself."
    )


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Pairs the answers of two models, photo by photo.

    Raises:
        UserError: no photo with a landmark was read by both.
    """
    rows_of = {photo: row for row, photo in enumerate(second.answer.photos)}
    pairs = [
        (row, rows_of[photo])
        for row, photo in enumerate(first.answer.photos)
        if photo in rows_of and first.answer.labels[row] >= 0
    ]
    if not pairs:
        raise UserError("Two models are compared on photos with labels, and there are none.")
    rows, other_rows = np.array(pairs).T
    a, b = first.answer, second.answer
    return Comparison(
        [a.photos[row] for row in rows],
        a.labels[rows],
        np.stack([a.predicted[rows], b.predicted[other_rows]]),
        np.stack([a.scores[rows, 0], b.scores[other_rows, 0]]),
        mcnemar(a.correct[rows], b.correct[other_rows]),
    )


def _both_ways(first, second):
    return (first, second), (second, first)
