"""Runs files of other runtimes on test photos, and compares them with Keras."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from glr_keras.data.records import Records, photo_batches
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.files import show_bytes

BATCH = 32
REPEATS = {1: 15, BATCH: 3}  # batch size -> timed calls, of which the median counts
KERAS = "Keras"
MAX_DIFFERENCE = 1e-4  # of a probability or a map cell from Keras': rounding stays below
MAX_ACCURACY_LOSS = 0.005  # by a smaller precision

Answers = dict[str, np.ndarray]  # "probabilities" `(photos, landmarks)` and perhaps "attention_map"


@dataclass(frozen=True)
class Comparison:
    """What was measured of one file, or of Keras.

    Attributes:
        name: Of the file.
        bytes: Int, its size; 0 of Keras.
        load_seconds: Float, to load it.
        milliseconds: Dict from batch size to milliseconds per photo.
        difference: Largest difference of a probability from Keras'.
        map_difference: The same of a cell of the attention map; 0 where there is none.
        same_top1: Photos for which it names the same landmark as Keras.
        accuracy: Float in [0, 1].
    """

    name: str
    bytes: int
    load_seconds: float
    milliseconds: dict[int, float]
    difference: float
    map_difference: float
    same_top1: int
    accuracy: float


def read_views(
    records: Records, split: str, count: int, recognizer: Recognizer
) -> tuple[np.ndarray, np.ndarray]:
    """Returns views and labels of the first photos of a split; their order is shuffled."""
    batches = photo_batches(records, split, recognizer.image_size, recognizer.framing, BATCH)
    batches = batches.take(math.ceil(count / BATCH))
    parts = [(batch["photo"].numpy(), batch["label"].numpy()) for batch in batches]
    views, labels = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return views, labels


def compare(
    keras_function: Callable,
    files: Iterable[Path],
    open_file: Callable[[Path], Callable],
    views: np.ndarray,
    labels: np.ndarray,
) -> list[Comparison]:
    """Runs Keras and each file on the same views.

    Args:
        keras_function: From views to a dict of tensors.
        files: To be compared with it.
        open_file: From a file to the function that it holds, from views to a dict of arrays.
        views: float32 `(photos, image_size, image_size, 3)`.
        labels: int64 `(photos,)`.

    Returns:
        A `Comparison` of Keras, then of each file.
    """

    def keras_answer(photos):
        return {name: value.numpy() for name, value in keras_function(photos).items()}

    expected = answers_to(views, keras_answer, KERAS)
    speeds = measure_speed(keras_answer, views)
    rows = [compare_answers(expected, expected, labels, KERAS, 0, 0.0, speeds)]
    for path in files:
        started = time.perf_counter()
        answer = open_file(path)
        seconds, size = time.perf_counter() - started, path.stat().st_size
        answers = answers_to(views, answer, path.name)
        speeds = measure_speed(answer, views)
        rows.append(compare_answers(answers, expected, labels, path.name, size, seconds, speeds))
    return rows


def answers_to(photos: np.ndarray, answer: Callable, name: str) -> Answers:
    """Returns what a function answers to all photos, a batch at a time, under a progress bar."""
    starts = tqdm(range(0, len(photos), BATCH), name, unit=" batches", leave=False)
    answers = [answer(photos[start : start + BATCH]) for start in starts]
    return {key: np.concatenate([one[key] for one in answers]) for key in answers[0]}


def largest_differences(answers: Answers, expected: Answers) -> tuple[float, float]:
    """Returns those of a probability, and of a cell of the map; 0 where there is no map."""
    probability, cell = (
        float(np.abs(answers[key] - expected[key]).max()) if key in expected else 0.0
        for key in ("probabilities", "attention_map")
    )
    return probability, cell


def compare_answers(
    answers: Answers,
    expected: Answers,
    labels: np.ndarray,
    name: str,
    size: int,
    load_seconds: float,
    milliseconds: dict[int, float],
) -> Comparison:
    """Compares answers with Keras'; see `Comparison` for what else it is given."""
    first, of_keras = (one["probabilities"].argmax(1) for one in (answers, expected))
    return Comparison(
        name,
        size,
        load_seconds,
        milliseconds,
        *largest_differences(answers, expected),
        same_top1=int((first == of_keras).sum()),
        accuracy=float((first == labels).mean()),
    )


def measure_speed(answer: Callable, photos: np.ndarray) -> dict[int, float]:
    """Returns milliseconds per photo, by batch size."""
    speeds = {}
    for batch, repeats in REPEATS.items():
        some = photos[np.arange(batch) % len(photos)]
        answer(some)  # warms up
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            answer(some)
            seconds.append(time.perf_counter() - started)
        speeds[batch] = statistics.median(seconds) / batch * 1000
    return speeds


def table_of(rows: Sequence[Comparison], photos: int) -> str:
    """Returns the comparison as a table in Markdown."""
    lines = [
        f"| on {photos} test photos | size | load | ms per photo, 1 | of {BATCH} | probabilities "
        "differ by | maps by | same landmark | accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        is_keras = row.name == KERAS
        cells = [
            row.name,
            "" if is_keras else show_bytes(row.bytes),
            "" if is_keras else f"{row.load_seconds:.2f} s",
            f"{row.milliseconds[1]:.1f}",
            f"{row.milliseconds[BATCH]:.1f}",
            "" if is_keras else f"{row.difference:.1e}",
            "" if is_keras else f"{row.map_difference:.1e}",
            "" if is_keras else f"{row.same_top1 / photos:.1%}",
            f"{row.accuracy:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
