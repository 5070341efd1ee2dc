"""Measures one model: temperature on validation, then every answer, then the baselines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glr_keras.calibration.evidence import EvidenceCollector
from glr_keras.calibration.rejector import ACCEPT, fit_rejector
from glr_keras.calibration.temperature import fit_temperature
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
    reliability_of,
)
from glr_keras.evaluation.baselines import measure_baselines
from glr_keras.evaluation.photo_folder import labelled_photos
from glr_keras.evaluation.rejection import measure_rejection
from glr_keras.evaluation.sources import (
    ANSWER,
    Batch,
    Evaluated,
    LabelledPhoto,
    named_outputs,
)
from glr_keras.runs.slices import measure_slices, photo_slices
from tfrecords.common.console import UserError


@dataclass
class Evaluation:
    """What was measured of one model.

    Attributes:
        evaluated: The model.
        split: Name of the split, or None where photos of a folder were measured.
        answers: Dict of the `Answers` of "answer", and of each branch where there are two.
        from_features: Whether stored features were read, and not photos.
        baselines: From `baselines.measure_baselines`; empty of photos in a folder.
        others: Its answers to photos of other places; None where there are none.
        slices: From `slices.measure_slices`; empty of photos in a folder.
    """

    evaluated: Evaluated
    split: str | None
    answers: dict[str, Answers]
    from_features: bool
    baselines: dict[str, dict] = field(default_factory=dict)
    others: Answers | None = None
    slices: list[dict] = field(default_factory=list)

    @property
    def answer(self) -> Answers:
        return self.answers[ANSWER]

    @property
    def has_labels(self) -> bool:
        """Whether there is a photo of a known landmark: otherwise there are scores only."""
        return bool(self.answer.is_labelled.any())

    def accept(self, accept: float | None) -> float:
        """Returns the fraction of known photos to accept: `accept`, or by default the model's."""
        return accept or self.evaluated.rejection.get("accept", ACCEPT)

    def as_dict(self, accept: float | None = None) -> dict:
        """Returns what `evaluation.json` holds of this model.

        Args:
            accept: Float in (0, 1), fraction of photos of known landmarks to accept; None: the
                model's.
        """
        labels, names = self.answer.labels, self.evaluated.landmarks
        result: dict[str, Any] = {
            "model": str(self.evaluated.path),
            "split": self.split,
            "tta": self.evaluated.model.tta,
            "computed_from": "stored features" if self.from_features else "photos",
            "photos": len(labels),
            "unreadable": len(self.evaluated.failed),
            "without_landmark": int((labels == NO_LANDMARK).sum()),
            "unlabelled": int((labels == UNLABELLED).sum()),
            "calibration_photos": self.evaluated.rejection.get("photos", 0),
            "temperatures": {name: one.temperature for name, one in self.answers.items()},
        }
        if self.has_labels:
            rejection = measure_rejection(
                self.answer, self.others, self.evaluated, self.accept(accept)
            )
            result |= {
                "outputs": {name: measure(one, len(names)) for name, one in self.answers.items()},
                "baselines": self.baselines,
                "calibration": reliability_of(self.answer),
                "slices": self.slices,
                "most_confused": confused_pairs(self.answer, names),
                "landmarks": measure_landmarks(self.answer, names),
                "rejection": rejection,
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
    evaluated: Evaluated,
    records: Records,
    split: str,
    others: Sequence[LabelledPhoto] = (),
) -> Evaluation:
    """Measures a model on a split of records.

    Args:
        evaluated: The model.
        records: Records of the same landmarks.
        split: Name of the split.
        others: Photos that show none of the landmarks, from `other_photos`.

    Raises:
        UserError: the records are of other landmarks, or the split has no photos.
    """
    evaluated.check_records(records)
    if not records.num_photos(split):
        raise UserError(
            f"The split {split} of {records.data_dir} has no photos. Name the other one: --split "
            f"{'validation' if split == 'test' else 'test'}"
        )
    failed_before = len(evaluated.failed)
    temperatures = calibrate(evaluated, records)
    from_features = evaluated.reads_features(records, split)
    answers = collect(evaluated, evaluated.split_batches(records, split), temperatures)
    baselines: dict[str, dict] = {}
    slices: list[dict] = []
    if len(evaluated.failed) == failed_before:
        baselines = measure_baselines(evaluated, records, split)
        slices = _measure_slices(evaluated, records, split, answers[ANSWER])
    of_others = _answer_others(evaluated, others, temperatures)
    return Evaluation(evaluated, split, answers, from_features, baselines, of_others, slices)


def _measure_slices(evaluated, records, split, answer):
    slices = photo_slices(records, split, evaluated.model.image_size)
    train_labels = evaluated.labels(records, "train")
    return measure_slices(slices, answer.labels, answer.correct, train_labels)


def evaluate_folder(
    evaluated: Evaluated,
    folder: Path,
    records: Records | None,
    others: Sequence[LabelledPhoto] = (),
    follow_links: bool = False,
) -> Evaluation:
    """Measures a model on photos in a folder, see `photo_folder.labelled_photos`.

    Args:
        evaluated: The model.
        folder: Of photos.
        records: Whose stored validation features give temperatures; None for none.
        others: As for `evaluate_split`.
        follow_links: Whether links that lead out of the folder are followed.

    Raises:
        UserError: no folder has the name of a landmark, or no photo could be read.
    """
    photos = labelled_photos(folder, evaluated.landmarks, follow_links)
    rejection = evaluated.rejection
    temperatures = {ANSWER: rejection["temperature"]} if rejection else {}
    if records is not None and evaluated.reads_features(records, "validation"):
        temperatures = calibrate(evaluated, records)
    answers = _answer_photos(evaluated, photos, temperatures)
    of_others = _answer_others(evaluated, others, temperatures)
    return Evaluation(evaluated, None, answers, False, {}, of_others)


def _answer_others(evaluated, photos, temperatures):
    return _answer_photos(evaluated, photos, temperatures)[ANSWER] if photos else None


def _answer_photos(evaluated, photos, temperatures):
    with tqdm(total=len(photos), unit=" photos") as bar:
        return collect(evaluated, evaluated.photo_batches(photos, bar), temperatures)


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
        collectors[ANSWER].update_rejection(*evaluated.judge(batch))
    if not collectors:
        raise UserError(f"None of {len(evaluated.failed):,} photos could be read.")
    return {name: collector.answers for name, collector in collectors.items()}


def calibrate(evaluated: Evaluated, records: Records) -> dict[str, float]:
    """Fits the temperature of each output to the validation photos; returns them by output.

    That of the answer is the model's own, since `predict` and the others answer at it.
    A model that can't reject photos, since an earlier version wrote it, gets a rejector.
    """
    if not records.num_photos("validation"):
        return {}
    collector = EvidenceCollector()
    for batch in evaluated.split_batches(records, "validation"):
        collector.update(batch.evidence, batch.labels)
    evidence, labels = collector.evidence, collector.labels
    if not evaluated.rejection:
        evaluated.rejector = fit_rejector(evidence, labels)
    outputs = named_outputs(evidence)
    fitted = {name: fit_temperature(one, labels) for name, one in outputs.items()}
    return fitted | {ANSWER: evaluated.rejection["temperature"]}
