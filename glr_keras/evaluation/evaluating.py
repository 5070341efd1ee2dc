"""Measures one model: temperature on validation, then every answer, then the baselines."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from glr_keras.data.records import Records
from glr_keras.evaluation.answers import (
    NO_LANDMARK,
    UNLABELLED,
    AnswerCollector,
    Answers,
    confused_pairs,
    global_average_precision_with,
    measure,
    measure_landmarks,
)
from glr_keras.evaluation.baselines import measure_baselines
from glr_keras.evaluation.photo_folder import labelled_photos
from glr_keras.evaluation.rejection import ENERGY, MAXIMUM, Calibration, measure_rejection
from glr_keras.evaluation.sources import ANSWER, Batch, Evaluated, LabelledPhoto
from glr_keras.evaluation.statistics import apply_temperature, fit_temperature
from glr_keras.inference.photo_inputs import photo_paths
from glr_keras.runs.metrics import log_softmax
from tfrecords.common.console import UserError

MAX_LOGITS = 2**25  # values that the temperature is fitted to: 256 MB in float64


@dataclass
class Evaluation:
    """What was measured of one model.

    Attributes:
        evaluated: The model.
        split: Name of the split, or None where photos of a folder were measured.
        answers: Dict of the `Answers` of "answer", and of each branch where there are two.
        from_features: Whether stored features were read, and not photos.
        calibration: What validation photos say about its scores.
        baselines: From `baselines.measure_baselines`; empty of photos in a folder.
        others: Its answers to photos of other places; None where there are none.
    """

    evaluated: Evaluated
    split: str | None
    answers: dict[str, Answers]
    from_features: bool
    calibration: Calibration = field(default_factory=Calibration)
    baselines: dict[str, dict] = field(default_factory=dict)
    others: Answers | None = None

    @property
    def answer(self) -> Answers:
        return self.answers[ANSWER]

    @property
    def has_labels(self) -> bool:
        """Whether there is a photo of a known landmark: otherwise there are scores only."""
        return bool(self.answer.is_labelled.any())

    def as_dict(self, accept: float) -> dict:
        """Returns what `evaluation.json` holds of this model.

        Args:
            accept: Float in (0, 1), fraction of photos of known landmarks to accept.
        """
        labels, names = self.answer.labels, self.evaluated.landmarks
        result: dict[str, Any] = {
            "model": str(self.evaluated.path),
            "split": self.split,
            "computed_from": "stored features" if self.from_features else "photos",
            "photos": len(labels),
            "unreadable": len(self.evaluated.failed),
            "without_landmark": int((labels == NO_LANDMARK).sum()),
            "unlabelled": int((labels == UNLABELLED).sum()),
            "calibration_photos": len(self.calibration.scores.get(MAXIMUM, ())),
            "temperatures": {name: one.temperature for name, one in self.answers.items()},
        }
        if self.has_labels:
            rejection = measure_rejection(self.answer, self.others, self.calibration, accept)
            result |= {
                "outputs": {name: measure(one, len(names)) for name, one in self.answers.items()},
                "baselines": self.baselines,
                "most_confused": confused_pairs(self.answer, names),
                "landmarks": measure_landmarks(self.answer, names),
                "rejection": {"accept": accept, "scores": rejection},
            }
            if self.others is not None:
                result["rejection"] |= {
                    "other_photos": len(self.others.labels),
                    "global_average_precision": global_average_precision_with(
                        self.answer, self.others
                    ),
                }
        return result


def evaluate_split(
    evaluated: Evaluated, records: Records, split: str, other: Path | None = None
) -> Evaluation:
    """Measures a model on a split of records.

    Args:
        evaluated: The model.
        records: Records of the same landmarks.
        split: Name of the split.
        other: Folder of photos that show none of the landmarks.

    Raises:
        UserError: the records are of other landmarks, or the split has no photos.
    """
    evaluated.check_records(records)
    if not records.num_photos(split):
        raise UserError(
            f"The split {split} of {records.data_dir} has no photos. Name the other one: --split "
            f"{'validation' if split == 'test' else 'test'}"
        )
    calibration = calibrate(evaluated, records)
    from_features = evaluated.stored_views(records, split) is not None
    answers = collect(evaluated, evaluated.split_batches(records, split), calibration)
    baselines = measure_baselines(evaluated, records, split) if not evaluated.failed else {}
    others = _answer_others(evaluated, other, calibration)
    return Evaluation(evaluated, split, answers, from_features, calibration, baselines, others)


def evaluate_folder(
    evaluated: Evaluated, folder: Path, records: Records | None, other: Path | None = None
) -> Evaluation:
    """Measures a model on photos in a folder, see `photo_folder.labelled_photos`.

    Args:
        evaluated: The model.
        folder: Of photos.
        records: Whose stored validation features give temperatures; None for none.
        other: As for `evaluate_split`.

    Raises:
        UserError: no folder has the name of a landmark, or no photo could be read.
    """
    photos = labelled_photos(folder, evaluated.landmarks)
    calibration = Calibration()
    if records is not None and evaluated.stored_views(records, "validation") is not None:
        calibration = calibrate(evaluated, records)
    answers = _answer_photos(evaluated, photos, calibration)
    others = _answer_others(evaluated, other, calibration)
    return Evaluation(evaluated, None, answers, False, calibration, {}, others)


def _answer_others(evaluated, folder, calibration):
    if folder is None:
        return None
    photos = [LabelledPhoto(path, path, NO_LANDMARK) for path in photo_paths([str(folder)])]
    return _answer_photos(evaluated, photos, calibration)[ANSWER]


def _answer_photos(evaluated, photos, calibration):
    with tqdm(total=len(photos), unit=" photos") as bar:
        return collect(evaluated, evaluated.photo_batches(photos, bar), calibration)


def collect(
    evaluated: Evaluated, batches: Iterable[Batch], calibration: Calibration
) -> dict[str, Answers]:
    """Returns the answers of each output.

    Raises:
        UserError: there are none, since no photo could be read.
    """
    collectors: dict[str, AnswerCollector] = {}
    for batch in batches:
        for name, logits in batch.outputs.items():
            if name not in collectors:
                collectors[name] = AnswerCollector(calibration.temperatures.get(name))
            collectors[name].update(batch.photos, batch.labels, logits, batch.energy)
    if not collectors:
        raise UserError(f"None of {len(evaluated.failed):,} photos could be read.")
    return {name: collector.answers for name, collector in collectors.items()}


def calibrate(evaluated: Evaluated, records: Records) -> Calibration:
    """Fits the temperature of each output to the validation photos, and keeps their scores.

    Of very many landmarks, the first photos are taken: a fair draw, as records are shuffled.
    """
    if not records.num_photos("validation"):
        return Calibration()
    labels: list[np.ndarray] = []
    energies: list[np.ndarray] = []
    outputs: dict[str, list[np.ndarray]] = {}
    left = max(1, MAX_LOGITS // len(evaluated.landmarks))
    for batch in evaluated.split_batches(records, "validation"):
        labels.append(batch.labels[:left])
        if batch.energy is not None:
            energies.append(batch.energy[:left])
        for name, logits in batch.outputs.items():
            outputs.setdefault(name, []).append(log_softmax(logits[:left]))
        left -= len(batch.labels)
        if left <= 0:
            break
    joined = {name: np.concatenate(batches) for name, batches in outputs.items()}
    all_labels = np.concatenate(labels)
    temperatures = {name: fit_temperature(one, all_labels) for name, one in joined.items()}
    scaled = apply_temperature(joined[ANSWER], temperatures[ANSWER])
    scores = {MAXIMUM: np.exp(scaled.max(1))}
    if energies:
        scores[ENERGY] = np.concatenate(energies)
    return Calibration(temperatures, scores)
