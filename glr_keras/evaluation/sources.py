"""Where the answers to be measured come from: a head on stored features, or photos."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from glr_keras.calibration.conformal import num_rejected
from glr_keras.calibration.evidence import Evidence, average
from glr_keras.calibration.rejector import Rejector
from glr_keras.calibration.scores import MAXIMUM, SCORES
from glr_keras.data.records import Records, photo_index, raw_records
from glr_keras.evaluation.answers import UNLABELLED
from glr_keras.features.store import FeatureViews, row_batches
from glr_keras.inference.batching import predict_batches
from glr_keras.inference.landmark_model import LandmarkModel, load
from glr_keras.inference.loading import stored_views
from glr_keras.inference.model_dir import NO_TTA, find_saved_model
from glr_keras.inference.tta import outputs_of_views
from glr_keras.runs.metrics import log_softmax
from tfrecords.common.console import UserError

PHOTOS_BATCH = 32
TINY = float(np.finfo(np.float32).tiny)  # a probability that has a logarithm
ANSWER = "answer"  # name of what the model answers, beside the names of its branches


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo to measure on.

    Attributes:
        name: Its path, or its id in the records.
        source: Path, or bytes of the file.
        label: Int, as in `answers.Answers`.
    """

    name: str
    source: str | bytes
    label: int = UNLABELLED


@dataclass(frozen=True)
class Batch:
    """Photos and what the model says of them.

    Attributes:
        photos: Ids or paths.
        labels: int64 `(photos,)`.
        evidence: What the model says of them, before the temperature; of an export, log
            probabilities only.
        p_values: float `(photos,)`, of an export that has them.
    """

    photos: list[str]
    labels: np.ndarray
    evidence: Evidence
    p_values: np.ndarray | None = None

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """float32 `(photos, landmarks)` of the "answer", and of each branch if there are two."""
        return named_outputs(self.evidence)


def named_outputs(evidence: Evidence) -> dict[str, np.ndarray]:
    """Returns log probabilities of the "answer", and logits of each branch if there are two."""
    branches = evidence.logits if len(evidence.logits) > 1 else {}
    return {ANSWER: evidence.log_probabilities, **branches}


class Evaluated:
    """A run or an export that is measured.

    Args:
        path: Of the run or the export.
        tta: Views to average the answers of a run over, see `landmark_model.load`.

    Attributes:
        path: The same.
        model: LandmarkModel.
        failed: (name, reason) of each photo that could not be read so far.
        rejector: Of a run; None of one without until it is fitted, and of an export.
    """

    def __init__(self, path: Path, tta: str = NO_TTA):
        self.path = path
        self.model: LandmarkModel = load(path, tta=tta)
        self.failed: list[tuple[str, str]] = []
        self._is_run = find_saved_model(path) is None
        self.rejector: Rejector | None = self.model.rejector
        self._ask = tf.function(self._outputs_of_views, reduce_retracing=True)
        self._views: dict[tuple[str, str, bool], FeatureViews | None] = {}

    @property
    def landmarks(self) -> list[str]:
        return self.model.landmarks

    @property
    def rejection(self) -> dict:
        """`Rejector.settings`; empty where photos can't be rejected."""
        return self.rejector.settings if self.rejector else self.model.rejection

    def threshold(self, accept: float) -> float | None:
        """Returns the lowest rejection score that is accepted, see `judge`; None where all are."""
        if self.rejector is not None:
            return replace(self.rejector, accept=accept).threshold
        photos = self.rejection["photos"]
        rejected = num_rejected(photos, accept)
        return (rejected + 1) / (photos + 1) if rejected else None

    def judge(self, batch: Batch) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Returns rejection scores and p-values of a batch, see `answers.Answers`.

        An export has its p-values, which stand for the score that they come from.
        """
        rejector = self.rejector or Rejector(MAXIMUM, 1.0, 0, 0.95, {})
        scores = {
            name: keras.ops.convert_to_numpy(rejector.scores(batch.evidence, name))
            for name, score in SCORES.items()
            if score.is_computable(batch.evidence, rejector.arrays)
        }
        if batch.p_values is not None:
            return scores | {self.rejection["score"]: batch.p_values}, batch.p_values
        if self.rejector is None:
            return scores, None
        judged = rejector.judge(batch.evidence)
        return scores, keras.ops.convert_to_numpy(judged["p_value"])

    def stored_views(
        self, records: Records, split: str, frozen: bool = False
    ) -> FeatureViews | None:
        """Returns the features of a split that the run has stored; None if there are not all.

        `frozen` is as `inference.loading.stored_views` takes it.
        """
        key = records.fingerprint, split, frozen
        if key not in self._views:
            self._views[key] = (
                stored_views(self.path, self.model.recognizer, records, split, frozen)
                if self._is_run
                else None
            )
        return self._views[key]

    def labels(self, records: Records, split: str) -> np.ndarray:
        """Returns the labels of a split, int64 `(photos,)`: of stored features, or of records."""
        views = self.stored_views(records, split)
        return photo_index(records, split)[0] if views is None else views.labels

    def reads_features(self, records: Records, split: str) -> bool:
        """Whether its answers to a split come from stored features: they are of one view only."""
        return self.model.tta == NO_TTA and self.stored_views(records, split) is not None

    def check_records(self, records: Records) -> None:
        """Compares the landmarks of records with the model's.

        Raises:
            UserError: they are others.
        """
        if records.landmarks != self.landmarks:
            raise UserError(
                f"{records.data_dir} holds other landmarks ({len(records.landmarks):,}) than "
                f"{self.path} knows ({len(self.landmarks):,}). Name records of the same landmarks "
                "with --data-dir DATA, or photos with --photos DIR."
            )

    def split_batches(self, records: Records, split: str) -> Iterator[Batch]:
        """Yields all photos of a split in record order, from stored features if there are any."""
        if self.reads_features(records, split):
            yield from self._feature_batches(self.stored_views(records, split))
            return
        rows = raw_records(records, split).as_numpy_iterator()
        photos = (
            LabelledPhoto(row["photo_id"].decode(), row["image"], int(row["label"])) for row in rows
        )
        with tqdm(
            total=records.num_photos(split), desc=f"Photos of {split}", unit=" photos"
        ) as bar:
            yield from self.photo_batches(photos, bar)

    def _feature_batches(self, views):
        (file,) = views.files.values()
        head = self.model.recognizer.head
        for rows in row_batches(len(views)):
            photos = [views.photo_ids[row] for row in rows]
            yield Batch(photos, views.labels[rows], _evidence(head, file.rows(rows)))

    def photo_batches(self, photos: Iterable[LabelledPhoto], bar: tqdm) -> Iterator[Batch]:
        """Yields photos that can be read, in order; the others are added to `failed`.

        While a batch is computed, the next ones are read.
        """
        for batch, outcomes in predict_batches(self._read, photos, PHOTOS_BATCH):
            reasons, evidence, p_values = self._answer(outcomes)
            bar.update(len(batch))
            pairs = list(zip(batch, reasons, strict=True))
            self.failed += [(photo.name, reason) for photo, reason in pairs if reason]
            if evidence is not None:
                read = [photo for photo, reason in pairs if not reason]
                labels = np.array([photo.label for photo in read], np.int64)
                yield Batch([photo.name for photo in read], labels, evidence, p_values)

    def _outputs_of_views(self, photos):
        model = self.model
        return outputs_of_views(model.recognizer, photos, model.tta, with_map=False)

    def _read(self, photos):
        """Returns the view of each photo or, of an export, its answer; a reason if unreadable."""
        read = self.model.try_views if self._is_run else self.model.try_predict
        return read([photo.source for photo in photos])

    def _answer(self, outcomes):
        """Returns a reason or "" for each photo; evidence and p-values of those without one."""
        reasons = [one if isinstance(one, str) else "" for one in outcomes]
        read = [one for one in outcomes if not isinstance(one, str)]
        if not read:
            return reasons, None, None
        if not self._is_run:
            probabilities = np.stack([one.probabilities for one in read])
            raw = self.model.temperature * np.log(np.maximum(probabilities, TINY))
            p_values = np.array([one.p_value for one in read]) if self.model.rejection else None
            return reasons, Evidence(log_softmax(raw).astype(np.float32), {}), p_values
        recognizer = self.model.recognizer
        if self.model.tta != NO_TTA:
            outputs, _, embedding = self._ask(np.stack(read))
            logits = {name: values.numpy() for name, values in outputs.items()}
            log_probabilities = recognizer.answer_log_probabilities(logits)
            answer = keras.ops.convert_to_numpy(log_probabilities)
            return reasons, Evidence(answer, logits, embedding.numpy()), None
        features = recognizer.backbone.predict_on_batch(np.stack(read))
        return reasons, _evidence(recognizer.head, features), None


def _evidence(head, features):
    logits = head.predict_on_batch(features)
    answer = keras.ops.convert_to_numpy(head.answer_log_probabilities(logits))
    return Evidence(answer, logits, average(features))
