"""Runs files of other runtimes on test photos, and compares them with Keras."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from glr_keras.data.records import Records, photo_batches
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.files import show_bytes

BATCH = 32
REPEATS = {1: 15, BATCH: 3}  # batch size -> timed calls, of which the median counts
KERAS = "Keras"


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
    files: Mapping[Path, Callable[[Path], Callable]],
    views: np.ndarray,
    labels: np.ndarray,
) -> list[Comparison]:
    """Runs Keras and each file on the same views.

    Args:
        keras_function: From views to a dict of tensors.
        files: File -> the function that opens it, and returns one from views to a dict of arrays.
        views: float32 `(photos, image_size, image_size, 3)`.
        labels: int64 `(photos,)`.

    Returns:
        A `Comparison` of Keras, then of each file.
    """

    def keras_answer(photos):
        return {name: value.numpy() for name, value in keras_function(photos).items()}

    expected = _run(keras_answer, views, KERAS)
    rows = [_measure(KERAS, 0, 0.0, keras_answer, expected, expected, views, labels)]
    for path, open_file in files.items():
        started = time.perf_counter()
        answer = open_file(path)
        seconds = time.perf_counter() - started
        answers = _run(answer, views, path.name)
        size = path.stat().st_size
        rows.append(_measure(path.name, size, seconds, answer, answers, expected, views, labels))
    return rows


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


def as_json(rows: Sequence[Comparison], photos: int) -> dict:
    """Returns the comparison for a JSON file."""
    return {"photos": photos, "files": [asdict(row) for row in rows]}


def _run(answer, views, name):
    starts = tqdm(range(0, len(views), BATCH), name, unit=" batches", leave=False)
    answers = [answer(views[start : start + BATCH]) for start in starts]
    return {key: np.concatenate([one[key] for one in answers]) for key in answers[0]}


def _measure(name, size, seconds, answer, answers, expected, views, labels):
    def difference(key):
        return float(np.abs(answers[key] - expected[key]).max()) if key in expected else 0.0

    first = answers["probabilities"].argmax(1)
    return Comparison(
        name=name,
        bytes=size,
        load_seconds=seconds,
        milliseconds={size: _milliseconds(answer, views, size) for size in REPEATS},
        difference=difference("probabilities"),
        map_difference=difference("attention_map"),
        same_top1=int((first == expected["probabilities"].argmax(1)).sum()),
        accuracy=float((first == labels).mean()),
    )


def _milliseconds(answer, views, batch):
    photos = views[np.arange(batch) % len(views)]
    answer(photos)  # warms up
    seconds = []
    for _ in range(REPEATS[batch]):
        started = time.perf_counter()
        answer(photos)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / batch * 1000
