"""Verifies an export: its answers against Keras' on test photos; its size and speed."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from glr_keras.data.records import Records, photo_batches, raw_records
from glr_keras.inference.model_dir import NO_TTA
from glr_keras.inference.saved_model import large_weights, open_export, round_weights
from glr_keras.inference.tta import outputs_of_views
from glr_keras.models.attention import probabilities_of
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.files import bytes_below

BATCH = 32
REPEATS = {1: 15, BATCH: 3}  # batch size -> timed calls, of which the median counts


@dataclass(frozen=True)
class Answers:
    """What a model answers for test photos.

    Attributes:
        probabilities: float array `(photos, landmarks)`.
        attention_maps: float32 array `(photos, rows, columns)`.
    """

    probabilities: np.ndarray
    attention_maps: np.ndarray

    def difference(self, other: "Answers") -> tuple[float, float]:
        """Returns the largest difference between two probabilities, and between two map cells."""
        return (
            float(np.abs(self.probabilities - other.probabilities).max()),
            float(np.abs(self.attention_maps - other.attention_maps).max()),
        )

    def same_top1(self, other: "Answers") -> int:
        """Counts the photos for which both predict the same landmark."""
        return int((self.probabilities.argmax(1) == other.probabilities.argmax(1)).sum())

    def accuracy(self, labels: np.ndarray) -> float:
        return float((self.probabilities.argmax(1) == labels).mean())


@dataclass(frozen=True)
class VerificationReport:
    """What was measured of an export.

    Attributes:
        bytes_on_disk: Int.
        largest: Name of the largest weights.
        largest_bytes: Int, size of these.
        load_seconds: Float, to load it.
        milliseconds: Dict from batch size to milliseconds per photo.
        photos: Int, test photos that the rest was measured on.
        error: Largest difference of a probability, and of a map cell, from Keras with the weights
            of the export.
        rounding: The same from Keras with the run's weights, which half precision rounds.
        same_top1: Photos for which it predicts the same landmark as Keras with the run's weights.
        accuracy: Float in [0, 1], of the export.
        keras_accuracy: Float in [0, 1], of Keras with the run's weights.
    """

    bytes_on_disk: int
    largest: str
    largest_bytes: int
    load_seconds: float
    milliseconds: dict[int, float]
    photos: int
    error: tuple[float, float]
    rounding: tuple[float, float]
    same_top1: int
    accuracy: float
    keras_accuracy: float


def verify_export(
    folder: Path, recognizer: Recognizer, records: Records, precision: str, test_photos: int
) -> VerificationReport:
    """Loads an export, measures it and compares its answers with Keras'.

    Args:
        folder: A version that `write_export` wrote.
        recognizer: Recognizer it was written from; afterwards it has the weights of the export.
        records: Records that the run was trained on.
        precision: Of the weights on disk.
        test_photos: Int, how many test photos to compare on.
    """
    started = time.perf_counter()
    export = open_export(folder)
    load_seconds = time.perf_counter() - started
    serving_default = export.endpoints["serving_default"]
    photos, labels = read_test_photos(records, test_photos)
    speeds = measure_speed(serving_default, photos)
    answers = predict_with_export(serving_default, photos)
    tta = export.description.tta
    expected = of_run = predict_with_keras(recognizer, records, len(photos), tta)
    if precision != "float32":
        round_weights(recognizer, precision)
        expected = predict_with_keras(recognizer, records, len(photos), tta)
    largest = max(
        large_weights(recognizer), key=lambda variable: variable.value.shape.num_elements()
    )
    width = tf.as_dtype(precision).size
    return VerificationReport(
        bytes_on_disk=bytes_below(folder),
        largest=largest.path,
        largest_bytes=width * largest.value.shape.num_elements(),
        load_seconds=load_seconds,
        milliseconds=speeds,
        photos=len(photos),
        error=answers.difference(expected),
        rounding=answers.difference(of_run),
        same_top1=answers.same_top1(of_run),
        accuracy=answers.accuracy(labels),
        keras_accuracy=of_run.accuracy(labels),
    )


def read_test_photos(records: Records, count: int) -> tuple[list[bytes], np.ndarray]:
    """Returns the JPEGs and labels of the first `count` test photos; their order is shuffled."""
    photos = list(raw_records(records, "test").take(count).as_numpy_iterator())
    return [one["image"] for one in photos], np.array([one["label"] for one in photos])


def predict_with_keras(
    recognizer: Recognizer, records: Records, count: int, tta: str = NO_TTA
) -> Answers:
    """Predicts with the model that was trained, on the views of its evaluation."""
    batches = photo_batches(records, "test", recognizer.image_size, recognizer.framing, BATCH)
    steps = math.ceil(count / BATCH)
    shown = tqdm(batches.take(steps), "Keras on test photos", steps, unit=" batches", leave=False)
    answers = []
    for batch in shown:
        outputs, maps, _ = outputs_of_views(recognizer, batch["photo"], tta)
        answers.append((probabilities_of(recognizer.head, outputs), maps))
    return Answers(*(np.concatenate(parts)[:count] for parts in zip(*answers, strict=True)))


def predict_with_export(serving_default: Callable, photos: list[bytes]) -> Answers:
    """Predicts files with an export."""
    starts = tqdm(range(0, len(photos), BATCH), "The export", unit=" batches", leave=False)
    answers = [serving_default(image_bytes=tf.constant(photos[s : s + BATCH])) for s in starts]
    names = ("probabilities", "attention_map")
    return Answers(*(np.concatenate([answer[name] for answer in answers]) for name in names))


def measure_speed(serving_default: Callable, photos: list[bytes]) -> dict[int, float]:
    """Returns milliseconds per photo, by batch size."""
    speeds = {}
    files = cycle(photos)
    for batch, repeats in REPEATS.items():
        seconds = []
        for _ in range(repeats + 1):
            image_bytes = tf.constant(list(islice(files, batch)))
            started = time.perf_counter()
            serving_default(image_bytes=image_bytes)["scores"].numpy()
            seconds.append(time.perf_counter() - started)
        speeds[batch] = statistics.median(seconds[1:]) / batch * 1000  # the first one warms up
    return speeds
