"""Puts the report of a run together: at the end of training, and later from its files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glr_keras.calibration.rejector import load_rejector
from glr_keras.data.records import Records, photo_batches
from glr_keras.models.attention import explain
from glr_keras.models.recognizer import Recognizer
from glr_keras.reporting.conflicts import read_conflicts
from glr_keras.reporting.contents import read_contents
from glr_keras.reporting.html import RunReport, render_report, select_photos
from glr_keras.reporting.thumbnails import (
    MAX_BYTES,
    PhotoImages,
    read_images,
    read_suspect_photos,
)
from glr_keras.runs.context import RunContext
from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.predictions import PhotoResult, photo_results
from glr_keras.runs.run_dir import RunDir

BATCH = 32  # photos recognised at once


def write_run_report(context: RunContext, metrics: dict, results: Sequence[PhotoResult]) -> None:
    """Writes `report.html` of a run whose training is over.

    The backbone sees only the photos that are shown with maps: the answers are known.

    Args:
        context: RunContext of the trained model.
        metrics: What `metrics.json` will hold.
        results: One per test photo.
    """
    one = report_run(
        context.run, metrics, results, context.records.data_dir, context.records, context.recognizer
    )
    context.run.write_text("report.html", render_report([one]))


def report_run(
    run: RunDir,
    metrics: dict,
    results: Sequence[PhotoResult],
    data_dir: Path,
    records: Records | None = None,
    recognizer: Recognizer | None = None,
    notes: Sequence[str] = (),
    num_runs: int = 1,
    photos: Path | None = None,
) -> RunReport:
    """Returns what the report of a run shows.

    Args:
        run: The run.
        metrics: What its `metrics.json` holds, or will hold.
        results: One per test photo; empty where they are unknown.
        data_dir: Where its records are, or were.
        records: Of the run; None where they are gone, and then no photo is shown.
        recognizer: Recognizer of the run; needed with `records`.
        notes: What a reader must know first.
        num_runs: Runs that share the report, and the size of its file.
        photos: Folder of photos that the records were built from, for those that were left out.
    """
    contents = read_contents(run, metrics, results, data_dir, notes)
    worst, least_sure, of_cells = select_photos(contents, num_runs)
    images = PhotoImages()
    if records is not None and recognizer is not None:
        images = read_images(
            records,
            recognizer,
            results,
            of_cells,
            [*worst, *least_sure],
            MAX_BYTES // num_runs,
        )
        images.suspects = read_suspect_photos(records, contents.suspects or ())
    conflicts = read_conflicts(data_dir, photos) if num_runs == 1 else []
    return RunReport(contents, worst, least_sure, of_cells, images, conflicts)


def recognize_test_photos(
    run: RunDir, records: Records, recognizer: Recognizer
) -> list[PhotoResult]:
    """Returns the answer for each test photo, of a run that has not stored them."""
    rejector = load_rejector(run.path)
    test = SplitMetrics(rejector.temperature if rejector else 1.0)
    photo_ids: list[str] = []
    size, framing = recognizer.image_size, recognizer.framing
    for batch in photo_batches(records, "test", size, framing, BATCH):
        probabilities, _ = explain(recognizer, batch["photo"].numpy())
        test.update({"": np.log(np.maximum(probabilities, 1e-30))}, batch["label"].numpy())
        photo_ids += [photo_id.decode() for photo_id in batch["photo_id"].numpy()]
    return photo_results(photo_ids, test, records.landmarks)
