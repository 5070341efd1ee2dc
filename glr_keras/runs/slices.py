"""Slices: photos of one kind, to see for which kinds a model works worse."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from glr_keras.data.records import Records, raw_records
from glr_keras.runs.intervals import wilson_interval

DARK = 80  # mean brightness, of 255; below it lay 7 % of the photos of 27 landmarks
DISTANT = 0.1  # of the photo's area
SLICES: Mapping[str, str] = {
    "dark": f"mean brightness below {DARK} of 255",
    "small": "short side below the model's image size, so that it is enlarged",
    "portrait": "higher than wide",
    "distant": f"the landmark's box fills less than {DISTANT:.0%} of the photo",
    "few train photos": "landmarks with fewer train photos than the median one",
}


def photo_slices(records: Records, split: str, image_size: int) -> dict[str, np.ndarray]:
    """Looks which slices the photos of a split belong to; reads all of them, at an eighth of size.

    Returns:
        Dict from names of `SLICES`, but the one of few train photos, to bool `(photos,)` in the
        order of the records.
    """
    found: dict[str, list[bool]] = {"dark": [], "small": [], "portrait": [], "distant": []}
    for record in raw_records(records, split).as_numpy_iterator():
        with Image.open(io.BytesIO(record["image"])) as image:
            width, height = image.size
            image.draft("L", (width // 8, height // 8))
            brightness = np.asarray(image.convert("L")).mean()
        ymin, xmin, ymax, xmax = record["box"]
        found["dark"].append(brightness < DARK)
        found["small"].append(min(width, height) < image_size)
        found["portrait"].append(height > width)
        found["distant"].append(0 < (ymax - ymin) * (xmax - xmin) < DISTANT)
    return {name: np.array(values, bool) for name, values in found.items()}


def measure_slices(
    slices: Mapping[str, np.ndarray],
    labels: np.ndarray,
    correct: np.ndarray,
    train_labels: np.ndarray,
) -> list[dict]:
    """Measures the accuracy in each slice, and on all other photos.

    Args:
        slices: From `photo_slices`.
        labels: int64 `(photos,)`, of the photos.
        correct: bool `(photos,)`.
        train_labels: int64 `(train photos,)`.

    Returns:
        Dicts of "slice" and, of its photos and, with "other_" before, of all others: "photos",
        "correct", "accuracy" and its 95 % "interval" (Wilson). Slices of no photos or all are left
        out.
    """
    counts = np.bincount(train_labels, minlength=labels.max() + 1)
    few = counts < np.median(counts[counts > 0])
    return [
        {"slice": name, **_accuracy(correct[is_in]), **_accuracy(correct[~is_in], "other_")}
        for name, is_in in {**slices, "few train photos": few[labels]}.items()
        if 0 < is_in.sum() < len(is_in)
    ]


def _accuracy(correct, prefix=""):
    return {
        f"{prefix}photos": len(correct),
        f"{prefix}correct": int(correct.sum()),
        f"{prefix}accuracy": float(correct.mean()),
        f"{prefix}interval": wilson_interval(correct.sum(), len(correct)).tolist(),
    }
