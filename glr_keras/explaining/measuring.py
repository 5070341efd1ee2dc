"""Measures how faithful the maps of a run are, within a time: numbers, a table and a figure."""

import argparse
import dataclasses
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from glr_keras.config import FitConfig, read_json
from glr_keras.data.views import eval_window
from glr_keras.explaining.faithfulness_figure import draw_faithfulness
from glr_keras.explaining.measured_maps import (
    boxes_in_views,
    measure_on_features,
    measure_on_photos,
)
from glr_keras.explaining.photos import NamedPhoto, chosen_photos
from glr_keras.inference.landmark_model import LandmarkModel, load
from glr_keras.inference.loading import records_of, stored_views
from glr_keras.models.precision import choose_precision
from glr_keras.runs.run_dir import RunDir, report_command
from glr_keras.saliency.localization import box_in_view
from glr_keras.saliency.result import Faithfulness
from tfrecords.common.console import UserError
from tfrecords.common.files import write_json
from tfrecords.common.types import REASONS, one_line

MAX_PHOTOS = 1000  # of a split, if no number is asked for; rarely are so many in time
MAX_FEATURES = 300  # the same of stored features, which are all in memory
PREPARATION = 0.15  # of the time, at most, for the maps of photos that are then measured
BATCH = 16  # photos


def measure(args: argparse.Namespace) -> int:
    """Does what `--measure` asks for; returns how many photos could not be read.

    The numbers of a split go into the run's `metrics.json` and `figures/faithfulness.png`; with
    `--out`, or of other photos, into `faithfulness.json` and `faithfulness.png` there.
    """
    started = time.monotonic()
    run = RunDir(args.models[0])
    split = None if args.photos else args.split or "test"
    model = load(run.path)
    failed = 0
    try:
        if args.features:
            result = _measure_features(model, run, split, args, started)
        else:
            result, failed = _measure_photos(model, run, args, started)
    except UserError:  # a ValueError, too, that no time helps against
        raise
    except ValueError as error:
        raise UserError(f"{error} For more time: --seconds {10 * args.seconds}") from error
    result.parameters["split"] = split or "named photos"
    report(result, time.monotonic() - started)
    save(result, run, args.out, split)
    return failed


def _measure_photos(model, run, args, started):
    photos = list(chosen_photos(args, MAX_PHOTOS))
    precision = use_faster_precision(model, read_json(run.path / "config.json"))
    views, boxes, failed = read_views(model, photos, started + PREPARATION * args.seconds)
    left = args.seconds - (time.monotonic() - started)
    result = measure_on_photos(model.recognizer, views, boxes, seconds=max(left, 1.0))
    result.parameters.update(precision=precision, perturbed="photos")
    return result, failed


def _measure_features(model, run, split, args, started):
    records = records_of(run.path, args.data_dir)
    views = stored_views(run.path, model.recognizer, records, split)
    if views is None:
        raise UserError(
            f"{run.path} has no stored features of the split {split}: it was trained live, they "
            "were deleted, or the records are others. Leave out --features."
        )
    rows = np.arange(min(args.count or MAX_FEATURES, len(views)))
    (file,) = views.files.values()
    boxes = boxes_in_views(records, split, model.framing)[rows]
    left = args.seconds - (time.monotonic() - started)
    head = model.recognizer.head
    result = measure_on_features(head, file.rows(rows), boxes, seconds=max(left, 1.0))
    result.parameters.update(precision="float32", perturbed="features")
    return result


def read_views(
    model: LandmarkModel, photos: Sequence[NamedPhoto], until: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Decodes photos in order, at least one batch, and more until the time is reached.

    Returns:
        views: float32 `(photos, image_size, image_size, 3)`.
        boxes: float64 `(photos, 4)` on them; all 0 where unknown.
        failed: Int, photos that could not be read; each has a printed row.

    Raises:
        UserError: none could be read.
    """
    views, boxes, failed = [], [], 0
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        for photo, view in zip(batch, model.try_views([one.source for one in batch]), strict=True):
            if isinstance(view, str):
                print(f"{one_line(photo.name):<40} - {view}: {REASONS[view]}")
                failed += 1
                continue
            views.append(view)
            boxes.append(_box_on_view(photo, model.framing))
        if views and time.monotonic() > until:
            break
    if not views:
        raise UserError(f"None of {len(photos):,} photos could be read.")
    return np.stack(views), np.array(boxes), failed


def _box_on_view(photo, framing):
    if not photo.box.any():
        return np.zeros(4)
    with Image.open(io.BytesIO(photo.source)) as image:
        return box_in_view(photo.box, eval_window(image.height, image.width, framing))


def use_faster_precision(model: LandmarkModel, config: FitConfig) -> str:
    """Lets the backbone compute in bfloat16 where that is faster here; returns the precision.

    Twice as many photos are then measured in the same time; probabilities differ in the third
    digit, alike for all maps.
    """
    features = Path(config.data_dir) / "features"
    auto = dataclasses.replace(config, precision="auto")
    precision = choose_precision(auto, features if features.is_dir() else None).precision
    if precision == "bfloat16":
        for layer in model.recognizer.backbone._flatten_layers(include_self=False):
            if layer.name != "features":
                layer.dtype_policy = "mixed_bfloat16"
    return precision


def report(result: Faithfulness, seconds: float) -> None:
    """Prints the table, and what the numbers depend on."""
    print(result)
    shown = {name: value for name, value in result.parameters.items() if name != "photos"}
    print(f"{seconds:.0f} s. Parameters: {json.dumps(shown)}")
    if about := result.as_dict().get("boxes"):
        print(
            f"{about['photos']:,} photos with boxes, whose median area is "
            f"{about['median_area']:.2f} of the view: what inside and pointing have by chance."
        )


def save(result: Faithfulness, run: RunDir, out: Path | None, split: str | None) -> None:
    """Writes numbers and figure to `out`, or to the run if there is none."""
    if out is None and split is None:
        print("Not saved, as the photos are not those of a split. Save it with: --out DIR")
        return
    if out is None:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        run.write_json("metrics.json", metrics | {"faithfulness": result.as_dict()})
        figure, numbers = run.figure("faithfulness"), run.metrics
        print(f"In one page with all else: {report_command(run.path)}")
    else:
        figure, numbers = out / "faithfulness.png", out / "faithfulness.json"
        write_json(numbers, result.as_dict())
    draw_faithfulness(result, figure)
    print(f"Numbers: {numbers}; curves: {figure}")
