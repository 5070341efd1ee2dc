"""test_predictions.csv: what a run answers for each test photo, in the order of the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.tables import read_rows, write_rows

FILE = "test_predictions.csv"


@dataclass(frozen=True)
class PhotoResult:
    """The answer for one photo.

    Attributes:
        photo_id: Of the records.
        landmark: Name of the landmark that the photo shows.
        predicted: Name of the landmark with the highest probability.
        score: That probability at the run's temperature, in [0, 1], as `predict` says.
        loss: Cross-entropy of `landmark` before it, in nats.
    """

    photo_id: str
    landmark: str
    predicted: str
    score: float
    loss: float

    @property
    def is_correct(self) -> bool:
        return self.landmark == self.predicted


def photo_results(
    photo_ids: Sequence[str], test: SplitMetrics, names: Sequence[str]
) -> list[PhotoResult]:
    """Returns the answers that `test` has measured.

    Args:
        photo_ids: One per photo, in the order of the batches that `test` was given.
        test: Measured on all photos of the split.
        names: Landmark names in label order.
    """
    columns = (test.labels, test.predicted(), np.exp(test.of_photos("scaled_score")))
    return [
        PhotoResult(photo_id, names[label], names[guess], round(float(score), 6), round(loss, 6))
        for photo_id, label, guess, score, loss in zip(
            photo_ids, *columns, test.of_photos("loss").tolist(), strict=True
        )
    ]


def write_predictions(run_dir: Path, results: Sequence[PhotoResult]) -> None:
    """Writes a row per photo."""
    write_rows(run_dir / FILE, PhotoResult, results)


def read_predictions(run_dir: Path) -> list[PhotoResult] | None:
    """Reads what `write_predictions` wrote; None where a run of an earlier version has none.

    Raises:
        UserError: it is no such table.
    """
    remedy = "Delete it: the photos are recognised again then."
    return read_rows(run_dir / FILE, PhotoResult, remedy)
