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
    measure,
    measure_landmarks,
)
from glr_keras.evaluation.baselines import measure_baselines
from glr_keras.evaluation.photo_folder import labelled_photos
from glr_keras.evaluation.sources import ANSWER, Batch, Evaluated
from glr_keras.evaluation.statistics import fit_temperature
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
        baselines: From `baselines.measure_baselines`; empty of photos in a folder.
    """

    evaluated: Evaluated
    split: str | None
    answers: dict[str, Answers]
    from_features: bool
    baselines: dict[str, dict] = field(default_factory=dict)

    @property
    def answer(self) -> Answers:
        return self.answers[ANSWER]

    @property
    def has_labels(self) -> bool:
        """Whether there is a photo of a known landmark: otherwise there are scores only."""
        return bool(self.answer.is_labelled.any())

    def as_dict(self) -> dict:
        """Returns what `evaluation.json` holds of this model."""
        labels, names = self.answer.labels, self.evaluated.landmarks
        result: dict[str, Any] = {
            "model": str(self.evaluated.path),
            "split": self.split,
            "computed_from": "stored features" if self.from_features else "photos",
            "photos": len(labels),
            "unreadable": len(self.evaluated.failed),
            "without_landmark": int((labels == NO_LANDMARK).sum()),
            "unlabelled": int((labels == UNLABELLED).sum()),
            "temperatures": {name: one.temperature for name, one in self.answers.items()},
        }
        if self.has_labels:
            result |= {
                "outputs": {name: measure(one, len(names)) for name, one in self.answers.items()},
                "baselines": self.baselines,
                "most_confused": confused_pairs(self.answer, names),
                "landmarks": measure_landmarks(self.answer, names),
            }
        return result


def evaluate_split(evaluated: Evaluated, records: Records, split: str) -> Evaluation:
    """Measures a model on a split of records.

    Raises:
        UserError: the records are of other landmarks, or the split has no photos.
    """
    evaluated.check_records(records)
    if not records.num_photos(split):
        raise UserError(
            f"The split {split} of {records.data_dir} has no photos. Name the other one: --split "
            f"{'validation' if split == 'test' else 'test'}"
        )
    temperatures = fit_temperatures(evaluated, records)
    from_features = evaluated.stored_views(records, split) is not None
    answers = collect(evaluated, evaluated.split_batches(records, split), temperatures)
    baselines = measure_baselines(evaluated, records, split) if not evaluated.failed else {}
    return Evaluation(evaluated, split, answers, from_features, baselines)


def evaluate_folder(evaluated: Evaluated, folder: Path, records: Records | None) -> Evaluation:
    """Measures a model on photos in a folder, see `photo_folder.labelled_photos`.

    Args:
        evaluated: The model.
        folder: Of photos.
        records: Whose stored validation features give the temperature; None for no temperature.

    Raises:
        UserError: no folder has the name of a landmark, or no photo could be read.
    """
    photos = labelled_photos(folder, evaluated.landmarks)
    temperatures = {}
    if records is not None and evaluated.stored_views(records, "validation") is not None:
        temperatures = fit_temperatures(evaluated, records)
    with tqdm(total=len(photos), unit=" photos") as bar:
        answers = collect(evaluated, evaluated.photo_batches(photos, bar), temperatures)
    return Evaluation(evaluated, None, answers, from_features=False)


def collect(
    evaluated: Evaluated, batches: Iterable[Batch], temperatures: dict[str, float]
) -> dict[str, Answers]:
    """Returns the answers of each output.

    Raises:
        UserError: there are none, since no photo could be read.
    """
    collectors: dict[str, AnswerCollector] = {}
    for batch in batches:
        for name, logits in batch.outputs.items():
            if name not in collectors:
                collectors[name] = AnswerCollector(temperatures.get(name))
            collectors[name].update(batch.photos, batch.labels, logits)
    if not collectors:
        raise UserError(f"None of {len(evaluated.failed):,} photos could be read.")
    return {name: collector.answers for name, collector in collectors.items()}


def fit_temperatures(evaluated: Evaluated, records: Records) -> dict[str, float]:
    """Returns the temperature of each output, fitted to the validation photos; {} without any.

    Of very many landmarks, the first photos are taken: a fair draw, as records are shuffled.
    """
    if not records.num_photos("validation"):
        return {}
    labels: list[np.ndarray] = []
    outputs: dict[str, list[np.ndarray]] = {}
    left = max(1, MAX_LOGITS // len(evaluated.landmarks))
    for batch in evaluated.split_batches(records, "validation"):
        labels.append(batch.labels[:left])
        for name, logits in batch.outputs.items():
            outputs.setdefault(name, []).append(log_softmax(logits[:left]))
        left -= len(batch.labels)
        if left <= 0:
            break
    return {
        name: fit_temperature(np.concatenate(logits), np.concatenate(labels))
        for name, logits in outputs.items()
    }
