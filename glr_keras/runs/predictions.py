"""test_predictions.csv: what a run answers for each test photo, in the order of the records."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glr_keras.runs.metrics import SplitMetrics
from tfrecords.common.console import UserError
from tfrecords.common.files import write_csv

FILE = "test_predictions.csv"
HEADER = ("photo_id", "landmark", "predicted", "score", "loss")


@dataclass(frozen=True)
class PhotoResult:
    """The answer for one photo.

    Attributes:
        photo_id: Of the records.
        landmark: Name of the landmark that the photo shows.
        predicted: Name of the landmark with the highest probability.
        score: That probability, in [0, 1].
        loss: Cross-entropy of `landmark`, in nats.
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
    columns = (test.labels, test.predicted(), np.exp(test.of_photos("score")))
    return [
        PhotoResult(photo_id, names[label], names[guess], round(float(score), 6), round(loss, 6))
        for photo_id, label, guess, score, loss in zip(
            photo_ids, *columns, test.of_photos("loss").tolist(), strict=True
        )
    ]


def write_predictions(run_dir: Path, results: Sequence[PhotoResult]) -> None:
    """Writes a row per photo."""
    rows = ([getattr(one, name) for name in HEADER] for one in results)
    write_csv(run_dir / FILE, HEADER, rows)


def read_predictions(run_dir: Path) -> list[PhotoResult] | None:
    """Reads what `write_predictions` wrote; None where a run of an earlier version has none.

    Raises:
        UserError: it is no such table.
    """
    path = run_dir / FILE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [
                PhotoResult(
                    row["photo_id"],
                    row["landmark"],
                    row["predicted"],
                    float(row["score"]),
                    float(row["loss"]),
                )
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path} can't be read as a table of {', '.join(HEADER)} ({error}). Delete it: the "
            "photos are recognised again then."
        ) from error
