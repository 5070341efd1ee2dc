"""Verifies an export: its answers against Keras' on test photos; its size and speed."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from glr_keras.data.records import Records, photo_batches, raw_records
from glr_keras.exporting.comparing import (
    BATCH,
    MAX_ACCURACY_LOSS,
    MAX_DIFFERENCE,
    Answers,
    Comparison,
    answers_to,
    compare_answers,
    largest_differences,
    measure_speed,
)
from glr_keras.exporting.saved_models import large_weights, round_weights
from glr_keras.inference.model_dir import NO_TTA
from glr_keras.inference.saved_model import Description, open_export
from glr_keras.inference.tta import outputs_of_views
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError
from tfrecords.common.files import bytes_below, show_bytes


@dataclass(frozen=True)
class VerificationReport:
    """What was measured of an export.

    Attributes:
        comparison: With Keras that has the run's weights, which half precision rounds.
        error: Largest difference of a probability, and of a map cell, from Keras with the weights
            of the export.
        keras_accuracy: Float in [0, 1], of Keras with the run's weights.
        photos: Int, test photos that all this was measured on.
        largest: Name of the largest weights.
        largest_bytes: Int, size of these.
    """

    comparison: Comparison
    error: tuple[float, float]
    keras_accuracy: float
    photos: int
    largest: str
    largest_bytes: int


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
    photos, labels = read_test_photos(records, test_photos)
    settings = export.description.tta, export.description.temperature

    def answer(files):
        found = export.endpoints["serving_default"](image_bytes=tf.constant(files, tf.string))
        return {name: found[name].numpy() for name in ("probabilities", "attention_map")}

    speeds = measure_speed(answer, photos)
    answers = answers_to(photos, answer, "The export")
    expected = of_run = predict_with_keras(recognizer, records, len(photos), *settings)
    if precision != "float32":
        round_weights(recognizer, precision)
        expected = predict_with_keras(recognizer, records, len(photos), *settings)
    size = bytes_below(folder)
    largest = max(large_weights(recognizer), key=lambda one: one.value.shape.num_elements())
    return VerificationReport(
        compare_answers(answers, of_run, labels, folder.name, size, load_seconds, speeds),
        error=largest_differences(answers, expected),
        keras_accuracy=float((of_run["probabilities"].argmax(1) == labels).mean()),
        photos=len(photos),
        largest=largest.path,
        largest_bytes=tf.as_dtype(precision).size * largest.value.shape.num_elements(),
    )


def read_test_photos(records: Records, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the JPEGs and labels of the first `count` test photos; their order is shuffled."""
    photos = list(raw_records(records, "test").take(count).as_numpy_iterator())
    jpegs = np.array([one["image"] for one in photos], object)
    return jpegs, np.array([one["label"] for one in photos])


def predict_with_keras(
    recognizer: Recognizer,
    records: Records,
    count: int,
    tta: str = NO_TTA,
    temperature: float = 1.0,
) -> Answers:
    """Predicts with the model that was trained, on the views of its evaluation."""
    batches = photo_batches(records, "test", recognizer.image_size, recognizer.framing, BATCH)
    steps = math.ceil(count / BATCH)
    shown = tqdm(batches.take(steps), "Keras on test photos", steps, unit=" batches", leave=False)
    answers = []
    for batch in shown:
        outputs, maps, _ = outputs_of_views(recognizer, batch["photo"], tta)
        answer = recognizer.answer_log_probabilities(outputs)
        answers.append((tf.nn.softmax(answer / temperature), maps))
    parts = zip(("probabilities", "attention_map"), zip(*answers, strict=True), strict=True)
    return {name: np.concatenate(values)[:count] for name, values in parts}


def print_report(report: VerificationReport, description: Description) -> str:
    """Prints what an export costs and how its answers differ from Keras'; returns it as a table."""
    measured = report.comparison
    one, many = sorted(measured.milliseconds)
    lines = {
        "size on disk": f"{show_bytes(measured.bytes)}, {show_bytes(report.largest_bytes)} "
        f"of it in {report.largest}",
        "load": f"{measured.load_seconds:.1f} s",
        "one photo": f"{measured.milliseconds[one]:.1f} ms",
        f"batch of {many}": f"{measured.milliseconds[many]:.1f} ms per photo",
        "against Keras": f"on {report.photos} test photos: probabilities differ by at most "
        f"{measured.difference:.1e}, maps by {measured.map_difference:.1e}; the same landmark "
        f"first on {measured.same_top1}",
        "accuracy": f"{measured.accuracy:.1%} of these, Keras {report.keras_accuracy:.1%}",
    }
    print(f"{description.backbone}, {description.head}, weights in {description.precision}")
    for name, text in lines.items():
        print(f"  {name:<13}  {text}")
    rows = [f"| {name} | {text} |" for name, text in lines.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def check_tolerance(report: VerificationReport, description: Description) -> None:
    """Refuses an export whose answers are not those of Keras.

    Raises:
        UserError: they differ by more than rounding, or half precision costs too much accuracy.
    """
    probabilities, maps = report.error
    # Grad-CAM divides by its own maximum, which may be next to nothing: no measure.
    error = max(probabilities, maps) if description.head == "ABN" else probabilities
    if not error <= MAX_DIFFERENCE:
        raise UserError(
            f"The export differs from Keras by {error:.1e}, more than {MAX_DIFFERENCE:.0e}: it was "
            "not kept. That is a fault of this program or of its TensorFlow; please report it."
        )
    loss = report.keras_accuracy - report.comparison.accuracy
    if description.precision != "float32" and loss > MAX_ACCURACY_LOSS:
        raise UserError(
            f"--precision {description.precision} costs {loss:.1%} of accuracy, more than "
            f"{MAX_ACCURACY_LOSS:.1%}: the export was not kept. Export in float32."
        )
