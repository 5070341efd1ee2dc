"""The photos a run has learned from: examples to try, and those most similar to a new photo."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glr_keras.data.random_access import RandomAccess, parse_record
from glr_keras.data.records import Records
from glr_keras.evaluation.baselines import pooled
from glr_keras.features.store import FeatureViews, row_batches
from glr_keras.inference.landmark_model import LandmarkModel
from glr_keras.inference.loading import records_of, stored_views
from glr_keras.inference.model_dir import find_saved_model
from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS

EXAMPLES, LOOKED_AT = 6, 400  # examples shown, and photos of a split among which they are chosen
MAX_NEIGHBOURS = 50_000  # photos that are compared: 256 MB of MobileNetV2's features
HIDDEN = "The photos of the records are not shown here (--no-photos)."
UNREADABLE = "The records of this run can't be read here, so there are no known photos to show."
OF_EXPORT = (
    "An export does not know the photos that it has learned from. Serve the run itself to see them."
)


@dataclass(frozen=True)
class Neighbour:
    """A photo of the records.

    Attributes:
        split: "train", "validation" or "test".
        number: Int, its place in the split.
        landmark: What it shows.
        similarity: Cosine of both photos' features, averaged over space; 1 of an example.
    """

    split: str
    number: int
    landmark: str
    similarity: float = 1.0


class KnownPhotos:
    """Photos of the records of a run, as far as they are there; `load` is called in a thread.

    Args:
        records: Of the run, or None.
        note: Why there are no photos, or no neighbours; empty where nothing is missing.

    Attributes:
        note: The same.
        loaded: Event, set once neighbours are read.
        examples: List of Neighbour, of different landmarks if there are.
    """

    def __init__(self, records: Records | None, note: str = ""):
        self.note = note
        self.examples: list[Neighbour] = []
        self._records = records
        self._readers: dict[str, RandomAccess] = {}
        self._labels = np.zeros(0, np.int64)
        self._embeddings = np.zeros((0, 0), np.float32)
        self.loaded, self._stop = threading.Event(), threading.Event()

    def load(self, run: Path, model: LandmarkModel) -> None:
        """Reads examples and features; what is missing is said in `note`."""
        try:
            if self._records is None:
                return
            self._readers = {
                split: RandomAccess(self._records, split)
                for split in SPLITS
                if self._records.num_photos(split)
            }
            self.examples = self._choose_examples()
            views = stored_views(run, model.recognizer, self._records, "train")
            if views is None:
                self.note = (
                    "The features of the run's train photos are not stored, so there is nothing "
                    "to compare with."
                )
            else:
                self._read(views)
        except (UserError, OSError) as error:
            self.note = UNREADABLE
            print(f"warning: {error}", file=sys.stderr)
        finally:
            self.loaded.set()

    def stop(self) -> None:
        """Ends `load` early."""
        self._stop.set()

    def nearest(self, embedding: np.ndarray, label: int, count: int) -> list[Neighbour]:
        """Returns the train photos of a landmark that are most similar to a photo.

        Args:
            embedding: float32 `(channels,)`, features of the photo, averaged over space.
            label: Int, of the landmark.
            count: Int, how many at most.
        """
        (rows,) = np.nonzero(self._labels == label)
        if not len(rows):
            return []
        query = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
        similarities = self._embeddings[rows] @ query
        best = np.argsort(-similarities, kind="stable")[:count]
        return [
            Neighbour("train", int(rows[i]), self._name(label), float(similarities[i]))
            for i in best
        ]

    def jpeg(self, split: str, number: int) -> bytes | None:
        """Returns a photo as its record has it; None where there is no such photo."""
        reader = self._readers.get(split)
        if reader is None or not 0 <= number < len(reader):
            return None
        return self._parse(reader.read(number))[0]

    def _choose_examples(self):
        split = next(one for one in ("test", "validation", "train") if one in self._readers)
        reader, chosen = self._readers[split], {}
        for number in range(min(LOOKED_AT, len(reader))):
            label = self._parse(reader.read(number))[1]
            chosen.setdefault(label, Neighbour(split, number, self._name(label)))
            if len(chosen) == EXAMPLES:
                break
        return list(chosen.values())

    def _read(self, views: FeatureViews):
        count = min(len(views), MAX_NEIGHBOURS)  # records are shuffled: a fair draw
        parts = []
        for rows in row_batches(count):
            if self._stop.is_set():
                return
            parts.append(pooled(views.first_view.rows(rows)))
        self._embeddings = np.concatenate(parts)
        self._labels = views.labels[:count]  # last: only then is there something to compare

    def _name(self, label):
        return self._records.landmarks[label]

    @staticmethod
    def _parse(data):
        record = parse_record(data)
        return record["image"].numpy(), int(record["label"])


def known_photos(path: Path, data_dir: Path | None, are_shown: bool, landmarks: list[str]):
    """Opens the records of a model, if they are to be shown and are there.

    Args:
        path: Of the run or export.
        data_dir: Where the records are now; None for where they were when the run was made.
        are_shown: Bool.
        landmarks: Of the model; records of others are not believed.

    Returns:
        KnownPhotos.
    """
    if not are_shown:
        return KnownPhotos(None, HIDDEN)
    if find_saved_model(path) is not None:
        return KnownPhotos(None, OF_EXPORT)
    try:
        records = records_of(path, data_dir)
    except UserError as error:
        if data_dir is not None:
            raise
        print(f"warning: {error}", file=sys.stderr)
        return KnownPhotos(None, UNREADABLE)
    if records.landmarks != landmarks:
        print(f"warning: {records.data_dir} holds other landmarks now.", file=sys.stderr)
        return KnownPhotos(None, UNREADABLE)
    return KnownPhotos(records)
