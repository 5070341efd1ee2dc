"""Fills the figures of a run directory."""

import shutil

import numpy as np

from glr_keras.config import FitConfig
from glr_keras.data.records import Records, photo_batches
from glr_keras.models.attention import explain
from glr_keras.models.heads import ABN
from glr_keras.models.recognizer import Recognizer
from glr_keras.reporting.figures import (
    Look,
    draw_attention_grid,
    draw_confusion_matrix,
    draw_training_curves,
)
from glr_keras.runs.metrics import log_softmax
from glr_keras.runs.run_dir import RunDir, TrainingState

GRID_PHOTOS = 16


def draw_figures(
    run: RunDir,
    recognizer: Recognizer,
    records: Records,
    config: FitConfig,
    state: TrainingState,
    matrix: np.ndarray,
    metrics: dict,
) -> None:
    """Writes training curves, class histogram, attention grid and confusion matrix."""
    source = "demo photos" if metrics["demo"] else "test photos"
    accuracy = (
        f"{metrics['test']['perception_accuracy']:.1%} of {metrics['test']['photos']} {source}"
    )
    draw_training_curves(state.history, state.best_epoch, run.figure("training_curves"))
    draw_confusion_matrix(
        matrix, records.landmarks, f"{accuracy} right", run.figure("confusion_matrix")
    )
    kind = "attention map" if isinstance(recognizer.head, ABN) else "Grad-CAM"
    title = f"Where the model looked ({kind}, stretched to its own range)"
    looks = look_at_test_photos(recognizer, records, config)
    draw_attention_grid(looks, title, run.figure("attention_grid"))
    histogram = records.data_dir / "histogram.png"
    if histogram.exists():
        shutil.copyfile(histogram, run.figure("class_histogram"))


def look_at_test_photos(
    recognizer: Recognizer, records: Records, config: FitConfig, count: int = GRID_PHOTOS
) -> list[Look]:
    """Explains the first test photos, at most one more per landmark than evenly shared.

    Records are in shuffled order, so these are a fair draw, wrong ones included.
    """
    most = -(-count // len(records.landmarks))
    taken, looks = {}, []
    for batch in photo_batches(records, "test", None, config, batch_size=GRID_PHOTOS):
        batch = {name: values.numpy() for name, values in batch.items()}
        keep = []
        for row, label in enumerate(batch["label"]):
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= most:
                keep.append(row)
        if keep:
            looks += _look(
                recognizer, batch["photo"][keep], batch["label"][keep], records.landmarks
            )
        if len(looks) >= count:
            break
    return looks[:count]


def _look(recognizer, photos, labels, names):
    logits, maps = explain(recognizer, photos)
    predicted, scores = logits.argmax(1), np.exp(log_softmax(logits).max(1))
    return [
        Look(photo, attention_map, names[label], names[guess], float(score))
        for photo, attention_map, label, guess, score in zip(
            photos, maps, labels, predicted, scores, strict=True
        )
    ]
