"""Fills the figures of a run directory."""

import math
import shutil
from collections import Counter

from glr_keras.data.records import photo_batches
from glr_keras.models.attention import explain
from glr_keras.reporting.figures import (
    MATRIX_LIMIT,
    AttentionExample,
    draw_attention_grid,
    draw_confusion_matrix,
    draw_most_confused,
    draw_training_curves,
)
from glr_keras.runs.context import RunContext
from glr_keras.runs.metrics import SplitMetrics, confusion_matrix
from glr_keras.runs.run_dir import TrainingState

GRID_PHOTOS = 16


def draw_figures(
    context: RunContext, state: TrainingState, test: SplitMetrics, metrics: dict
) -> None:
    """Writes training curves, confusions, class histogram and attention grid.

    Args:
        context: RunContext of a trained model.
        state: Its history and best epoch.
        test: Predictions on the test split.
        metrics: What `metrics.json` will hold.
    """
    run = context.run
    draw_training_curves(state.history, state.best_epoch, run.figure("training_curves"))
    draw_confusions(context, test, metrics)
    title = (
        f"Where the model looked ({context.recognizer.head.map_name}, stretched to its own range)"
    )
    draw_attention_grid(explain_test_photos(context), title, run.figure("attention_grid"))
    histogram = context.records.data_dir / "histogram.png"
    if histogram.exists():
        shutil.copyfile(histogram, run.figure("class_histogram"))


def draw_confusions(context: RunContext, test: SplitMetrics, metrics: dict) -> None:
    """Draws the confusion matrix; of many landmarks, the pairs confused most often instead."""
    of_test, names = metrics["test"], context.records.landmarks
    photos = f"{of_test['photos']} {'demo' if metrics['demo'] else 'test'} photos"
    title = f"{of_test['accuracy']:.1%} of {photos} correct"
    if len(names) > MATRIX_LIMIT:
        path = context.run.figure("most_confused")
        draw_most_confused(of_test["most_confused"], title, path)
        return
    matrix = confusion_matrix(test.labels, test.predicted(), len(names))
    draw_confusion_matrix(matrix, names, title, context.run.figure("confusion_matrix"))


def explain_test_photos(context: RunContext) -> list[AttentionExample]:
    """Explains the first test photos, at most one more per landmark than evenly shared.

    Records are in shuffled order, so these are a fair draw, wrong answers included.
    """
    names = context.records.landmarks
    limit = math.ceil(GRID_PHOTOS / len(names))
    seen: Counter[int] = Counter()
    examples: list[AttentionExample] = []
    size, framing = context.config.image_size, context.config.framing
    for batch in photo_batches(context.records, "test", size, framing, GRID_PHOTOS):
        photos, labels = batch["photo"].numpy(), batch["label"].numpy()
        keep = []
        for row, label in enumerate(labels):
            seen[label] += 1
            if seen[label] <= limit:
                keep.append(row)
        if keep:
            examples += _explain(context.recognizer, photos[keep], labels[keep], names)
        if len(examples) >= GRID_PHOTOS:
            break
    return examples[:GRID_PHOTOS]


def _explain(recognizer, photos, labels, names):
    probabilities, maps = explain(recognizer, photos)
    predicted, scores = probabilities.argmax(1), probabilities.max(1)
    return [
        AttentionExample(photo, attention_map, names[label], names[guess], float(score))
        for photo, attention_map, label, guess, score in zip(
            photos, maps, labels, predicted, scores, strict=True
        )
    ]
