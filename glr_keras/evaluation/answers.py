"""What a model answers to photos: a few numbers per photo, however many landmarks there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress

import numpy as np

from glr_keras.calibration.reliability import expected_calibration_error, measure_calibration
from glr_keras.calibration.temperature import apply_temperature
from glr_keras.runs.intervals import wilson_interval
from glr_keras.runs.metrics import (
    TOP,
    global_average_precision,
    log_softmax,
    most_confused,
    ranks,
)

NO_LANDMARK = -1  # label of a photo that shows none of the model's landmarks
UNLABELLED = -2  # label of a photo of which nothing is known


@dataclass
class Answers:
    """The answers of one output of a model, photo by photo.

    Attributes:
        photos: Ids or paths.
        labels: int64 `(photos,)`; `NO_LANDMARK` or `UNLABELLED` where there is no landmark.
        best: int32 `(photos, TOP)`, labels of the likeliest landmarks (fewer if there are fewer).
        scores: float64 `(photos, TOP)`, their probabilities at `temperature`, as `predict` says.
        raw_score: float64 `(photos,)`, the likeliest one's before it.
        in_top: bool `(photos,)`, whether the photo's landmark is among them.
        loss: float64 `(photos,)`, minus the log of its probability before the temperature, in
            nats; NaN without one.
        scaled_loss: The same at the temperature.
        temperature: Float; None where none was fitted, and then it is 1.
        rejection: Dict from names in `calibration.scores.SCORES` to float32 `(photos,)`: what the
            model can be asked of them. Of the answer only, as the next one.
        p_values: float64 `(photos,)`, see `Rejector.judge`; None without any.
    """

    photos: Sequence[str]
    labels: np.ndarray
    best: np.ndarray
    scores: np.ndarray
    raw_score: np.ndarray
    in_top: np.ndarray
    loss: np.ndarray
    scaled_loss: np.ndarray
    temperature: float | None
    rejection: dict[str, np.ndarray] = field(default_factory=dict)
    p_values: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        return self.best[:, 0]

    @property
    def is_labelled(self) -> np.ndarray:
        """Whether the photo shows a landmark that the model knows, bool `(photos,)`."""
        return self.labels >= 0

    @property
    def correct(self) -> np.ndarray:
        return self.predicted == self.labels


class Columns:
    """Arrays that grow batch by batch, each as one block of memory.

    A hundred thousand photos in batches of 32 would be as many small arrays, joined at the end.
    """

    def __init__(self):
        self._columns: dict[str, tuple[bytearray, np.dtype, tuple[int, ...]]] = {}

    def extend(self, batch: Mapping[str, np.ndarray]) -> None:
        """Adds rows `(batch, ...)` of one type and shape to the array of each name."""
        for name, values in batch.items():
            new = bytearray(), values.dtype, values.shape[1:]
            rows, dtype, shape = self._columns.setdefault(name, new)
            if (values.dtype, values.shape[1:]) != (dtype, shape):
                raise ValueError(
                    f"Expected rows of {dtype} {shape} for {name}, got {values.dtype} "
                    f"{values.shape[1:]}."
                )
            rows.extend(values.tobytes())

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All rows so far, views of what is kept: after that nothing can be added."""
        return {
            name: np.frombuffer(rows, dtype).reshape(-1, *shape)
            for name, (rows, dtype, shape) in self._columns.items()
        }


@dataclass
class AnswerCollector:
    """Collects `Answers` batch by batch; never holds more than a batch of probabilities."""

    temperature: float | None = None
    _photos: list[str] = field(default_factory=list)
    _answers: Columns = field(default_factory=Columns)
    _rejection: Columns = field(default_factory=Columns)
    _p_values: Columns = field(default_factory=Columns)

    def update(self, photos: Sequence[str], labels: np.ndarray, logits: np.ndarray) -> None:
        """Adds a batch.

        Args:
            photos: Ids or paths.
            labels: int64 `(batch,)`.
            logits: float `(batch, landmarks)`, log probabilities up to a constant per photo.
        """
        log_probabilities = log_softmax(logits)
        scaled = apply_temperature(log_probabilities, self.temperature or 1.0)
        best = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
        known, own = labels >= 0, np.maximum(labels, 0)
        rows = np.arange(len(labels))
        of_photos = {
            "labels": labels,
            "best": best.astype(np.int32),
            "scores": np.exp(np.take_along_axis(scaled, best, 1)),
            "raw_score": np.exp(log_probabilities.max(1)),
            "in_top": known & (ranks(logits, own) < TOP),
            "loss": np.where(known, -log_probabilities[rows, own], np.nan),
            "scaled_loss": np.where(known, -scaled[rows, own], np.nan),
        }
        self._photos += photos
        self._answers.extend(of_photos)

    def update_rejection(self, scores: dict[str, np.ndarray], p_values: np.ndarray | None) -> None:
        """Adds the rejection scores and p-values of a batch, see `Answers`."""
        self._rejection.extend(scores)
        if p_values is not None:
            self._p_values.extend({"p_values": p_values})

    @property
    def answers(self) -> Answers:
        """All batches so far, of which there is at least one; no further one can be added."""
        return Answers(
            photos=self._photos,
            temperature=self.temperature,
            **self._answers.arrays,
            rejection=self._rejection.arrays,
            p_values=self._p_values.arrays.get("p_values"),
        )


def measure(answers: Answers, num_landmarks: int) -> dict:
    """Measures answers to photos with landmarks.

    Returns:
        Dict of "photos", what `accuracies` returns, "top5_accuracy", "global_average_precision"
        (photos that show none of the landmarks stay in its list), "log_loss" (nats) and
        "calibration_error", the last two also at the temperature, prefixed with "scaled_", where
        there is one.
    """
    known = answers.is_labelled
    correct, labels = answers.correct[known], answers.labels[known]
    result = {
        "photos": len(labels),
        **accuracies(correct, labels, num_landmarks),
        f"top{TOP}_accuracy": float(answers.in_top[known].mean()),
        "global_average_precision": global_average_precision_with(answers),
        "log_loss": float(answers.loss[known].mean()),
        "calibration_error": expected_calibration_error(answers.raw_score[known], correct),
    }
    if answers.temperature is not None:
        scores = answers.scores[known, 0]
        result["scaled_log_loss"] = float(answers.scaled_loss[known].mean())
        result["scaled_calibration_error"] = expected_calibration_error(scores, correct)
    return result


def reliability_of(answers: Answers) -> dict | None:
    """Returns `reliability.measure_calibration` of the photos with landmarks.

    None of answers without a temperature.
    """
    if answers.temperature is None:
        return None
    known = answers.is_labelled
    return measure_calibration(
        answers.raw_score[known],
        answers.scores[known, 0],
        answers.correct[known],
        answers.temperature,
    )


def accuracies(correct: np.ndarray, labels: np.ndarray, num_landmarks: int) -> dict:
    """Measures which photos were named correctly.

    Args:
        correct: bool `(photos,)`.
        labels: int64 `(photos,)`, of landmarks.
        num_landmarks: Int.

    Returns:
        Dict of "accuracy", its 95 % interval "accuracy_interval", and "macro_accuracy": the mean,
        over landmarks that have photos, of the fraction of their photos.
    """
    photos = np.bincount(labels, minlength=num_landmarks)
    correct_of = np.bincount(labels[correct], minlength=num_landmarks)
    return {
        "accuracy": float(correct.mean()),
        "accuracy_interval": wilson_interval(correct.sum(), correct.size).tolist(),
        "macro_accuracy": float((correct_of[photos > 0] / photos[photos > 0]).mean()),
    }


def global_average_precision_with(answers: Answers, *others: Answers) -> float:
    """Returns `metrics.global_average_precision` of all photos but those that are unlabelled.

    Args:
        answers: Answers to photos.
        others: Answers to further photos that are in the same list.
    """
    all_answers = (answers, *others)
    labels = np.concatenate([one.labels for one in all_answers])
    correct = np.concatenate([one.correct & one.is_labelled for one in all_answers])
    scores = np.concatenate([one.raw_score for one in all_answers])
    is_in = labels != UNLABELLED
    photos = list(compress(chain(*(one.photos for one in all_answers)), is_in))
    with_landmark = int((labels >= 0).sum())
    return global_average_precision(correct[is_in], scores[is_in], photos, with_landmark)


def measure_landmarks(answers: Answers, names: Sequence[str]) -> list[dict]:
    """Measures each landmark that has photos or was an answer.

    A photo that shows none of the landmarks counts as a wrong answer in the precision.

    Returns:
        Dicts of "landmark", "photos" (that show it), "answers" (photos it was named for),
        "correct", "recall" and "precision", each None where undefined, and their 95 % intervals
        "recall_interval" and "precision_interval".
    """
    in_list = answers.labels != UNLABELLED
    labels, predicted = answers.labels[in_list], answers.predicted[in_list]
    photos = np.bincount(labels[labels >= 0], minlength=len(names))
    named = np.bincount(predicted, minlength=len(names))
    correct = np.bincount(labels[labels == predicted], minlength=len(names))
    recalls, precisions = wilson_interval(correct, photos), wilson_interval(correct, named)
    return [
        {
            "landmark": names[label],
            "photos": int(photos[label]),
            "answers": int(named[label]),
            "correct": int(correct[label]),
            "recall": _fraction(correct[label], photos[label]),
            "recall_interval": recalls[label].tolist(),
            "precision": _fraction(correct[label], named[label]),
            "precision_interval": precisions[label].tolist(),
        }
        for label in np.flatnonzero(photos + named).tolist()
    ]


def confused_pairs(answers: Answers, names: Sequence[str]) -> list[dict]:
    """Returns `metrics.most_confused` of the photos with landmarks."""
    known = answers.is_labelled
    return most_confused(answers.labels[known], answers.predicted[known], names)


def _fraction(part, whole):
    return float(part / whole) if whole else None
