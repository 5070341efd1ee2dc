"""Where the answers to be measured come from: a head on stored features, or photos."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from scipy.special import logsumexp
from tqdm import tqdm

from glr_keras.data.records import Records, raw_records
from glr_keras.evaluation.answers import UNLABELLED
from glr_keras.features.store import FeatureViews
from glr_keras.inference.landmark_model import LandmarkModel, load
from glr_keras.inference.loading import stored_views
from glr_keras.inference.model_dir import find_saved_model
from glr_keras.models.answer import answer_log_probabilities
from tfrecords.common.console import UserError

FEATURES_BATCH = 256  # photos' features; only speed and memory depend on it
PHOTOS_BATCH = 32
TINY = float(np.finfo(np.float32).tiny)  # a probability that has a logarithm
ANSWER = "answer"  # name of what the model answers, beside the names of its branches


@dataclass(frozen=True)
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
        outputs: Dict of float32 `(photos, landmarks)`: log probabilities of the "answer", and
            logits of each branch, where there are two.
        energy: float64 `(photos,)`, see `rejection.rejection_scores`; None of an export.
    """

    photos: list[str]
    labels: np.ndarray
    outputs: dict[str, np.ndarray]
    energy: np.ndarray | None = None


class Evaluated:
    """A run or an export that is measured.

    Args:
        path: Of the run or the export.

    Attributes:
        path: The same.
        model: LandmarkModel.
        failed: (name, reason) of each photo that could not be read so far.
    """

    def __init__(self, path: Path):
        self.path = path
        self.model: LandmarkModel = load(path)
        self.failed: list[tuple[str, str]] = []
        self._is_run = find_saved_model(path) is None
        self._views: dict[tuple[str, str], FeatureViews | None] = {}

    @property
    def landmarks(self) -> list[str]:
        return self.model.landmarks

    def stored_views(self, records: Records, split: str) -> FeatureViews | None:
        """Returns the features of a split that the run has stored; None if there are not all."""
        key = records.fingerprint, split
        if key not in self._views:
            self._views[key] = (
                stored_views(self.path, self.model.recognizer, records, split)
                if self._is_run
                else None
            )
        return self._views[key]

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
        views = self.stored_views(records, split)
        if views is not None:
            yield from self._feature_batches(views)
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
        for start in range(0, len(views), FEATURES_BATCH):
            rows = np.arange(start, min(start + FEATURES_BATCH, len(views)))
            logits = head.predict_on_batch(file.rows(rows))
            photos, labels = [views.photo_ids[row] for row in rows], views.labels[rows]
            yield Batch(photos, labels, _named(head, logits), _energy(logits))

    def photo_batches(self, photos: Iterable[LabelledPhoto], bar: tqdm) -> Iterator[Batch]:
        """Yields photos that can be read, in order; the others are added to `failed`."""
        photos = iter(photos)
        while batch := list(islice(photos, PHOTOS_BATCH)):
            reasons, outputs, energy = self._answer([photo.source for photo in batch])
            bar.update(len(batch))
            pairs = list(zip(batch, reasons, strict=True))
            self.failed += [(photo.name, reason) for photo, reason in pairs if reason]
            if read := [photo for photo, reason in pairs if not reason]:
                labels = np.array([photo.label for photo in read], np.int64)
                yield Batch([photo.name for photo in read], labels, outputs, energy)

    def _answer(self, sources):
        """Returns a reason or "" for each photo; outputs and energy of those without one."""
        answer = self.model.try_views if self._is_run else self.model.try_predict
        outcomes = answer(sources)
        reasons = [one if isinstance(one, str) else "" for one in outcomes]
        read = [one for one in outcomes if not isinstance(one, str)]
        if not read:
            return reasons, {}, None
        if not self._is_run:
            probabilities = np.stack([one.probabilities for one in read])
            return reasons, {ANSWER: np.log(np.maximum(probabilities, TINY))}, None
        recognizer = self.model.recognizer
        logits = recognizer.predict_on_batch(np.stack(read))
        return reasons, _named(recognizer, logits), _energy(logits)


def _named(model, logits):
    answer = keras.ops.convert_to_numpy(answer_log_probabilities(logits, model.answer))
    return {ANSWER: answer, **(logits if len(model.branches) > 1 else {})}


def _energy(logits):
    branches = [values.astype(np.float64) for values in logits.values()]
    return np.mean([logsumexp(values, axis=1) for values in branches], axis=0)
