"""What `predict --multi-crop` gains where a landmark is small: python benchmarks/multi_crop.py RUN

Test photos of the run as they are, and each of them shrunk to a part of the view, at a random place
in front of a photo of another landmark, blurred until nothing can be recognised. Prints accuracies
of one view and of several crops, and the time they take.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from show import print_context

from tfrecords.common.console import start_tensorflow

BATCH = 32  # photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a complete run whose records are there")
    parser.add_argument("--data-dir", type=Path, help="its records, if they were moved")
    parser.add_argument("--count", type=int, default=200, help="test photos")
    parser.add_argument("--size", type=float, default=0.4, help="of the small ones, by the view")
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    measure(args)


def measure(args) -> None:
    import glr_keras
    from glr_keras.inference.loading import records_of
    from glr_keras.predicting.crops import RESOLUTION, best_crops

    model = glr_keras.load(args.run)
    records = records_of(args.run, args.data_dir)
    photos, names = read_photos(records, args.count)
    side = RESOLUTION * model.short_side
    rows = {
        "as they are": photos,
        f"{args.size:.0%} of the view": shrink(photos, side, args.size),
    }
    ways = {
        "one view": model.try_predict,
        "--multi-crop": lambda batch: best_crops(
            model.try_predict, batch, model.short_side, model.framing
        ),
    }
    for way in ways.values():
        way(photos[:BATCH])  # traces
    for title, shown in rows.items():
        for name, way in ways.items():
            accuracy, rate = accuracy_and_rate(way, shown, names)
            print(f"{title:16}  {name:12}  {accuracy:6.1%}  {rate:6.1f} photos/s", flush=True)


def read_photos(records, count):
    """Returns the first test photos, uint8 RGB arrays, and the names of their landmarks."""
    from glr_keras.data.records import decode_photo, raw_records

    photos, names = [], []
    for record in raw_records(records, "test").take(count):
        photos.append(decode_photo(record).numpy())
        names.append(records.landmarks[int(record["label"])])
    return photos, names


def shrink(photos, side, size):
    """Returns squares of `side` pixels that show each photo small, before a blur of the next."""
    rng = np.random.default_rng(0)
    shown = []
    for number, photo in enumerate(photos):
        other = cv2.resize(photos[(number + 1) % len(photos)], (8, 8), interpolation=cv2.INTER_AREA)
        view = cv2.resize(other, (side, side), interpolation=cv2.INTER_CUBIC)
        scale = size * side / max(photo.shape[:2])
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        view[top : top + height, left : left + width] = small
        shown.append(view)
    return shown


def accuracy_and_rate(way, photos, names):
    """Returns the fraction of photos whose landmark is named, and photos per second."""
    started, answers = time.perf_counter(), []
    for start in range(0, len(photos), BATCH):
        answers += way(photos[start : start + BATCH])
    rate = len(photos) / (time.perf_counter() - started)
    hits = [one.landmarks[0] == name for one, name in zip(answers, names, strict=True)]
    return np.mean(hits), rate


if __name__ == "__main__":
    main()
