"""Which precision the backbone computes in: bfloat16 where that is faster, else float32."""

import dataclasses
import json
import time
from contextlib import ExitStack
from pathlib import Path

import keras
import numpy as np

from glr_keras.config import FitConfig
from glr_keras.models.backbones import build_backbone, check_weights_file
from tfrecords.common.files import READ_ONLY, locked, warn_corrupted, write_json
from tfrecords.common.processor import BFLOAT16, cpu_flags, cpu_name

FILE, LOCK = "precision.json", ".precision.lock"
BATCH_SIZE = 8  # photos in a timed batch: a second of VGG16 on two cores
MIN_SPEEDUP = 1.1  # of bfloat16 over float32: it rounds more


def choose_precision(config: FitConfig, features: Path | None = None) -> FitConfig:
    """Returns `config` with a precision in place of "auto", and prints which.

    A processor without bfloat16 instructions emulates them, which takes many times as long, and
    some that have them are slower with them all the same. Where the hardware does not decide, one
    batch is timed in each; the choice is stored beside the features, so that later runs find these
    again. Where that folder can't be written, it is stored in the run's config only.

    Args:
        config: FitConfig.
        features: Folder to store the choice in; None for nowhere.

    Raises:
        UserError: as `check_weights_file`.
    """
    if config.precision != "auto":
        return config
    check_weights_file(config)  # rather before what may take long
    if known := _precision_of_hardware():
        return dataclasses.replace(config, precision=known)
    if features is None:
        return dataclasses.replace(config, precision=_measure(config))
    with ExitStack() as held:
        is_writable = _lock(features, held)
        choices = _load_choices(features)
        case = f"{config.backbone} at {config.image_size} pixels on {cpu_name()}"
        if case not in choices:
            choices[case] = _measure(config)
            if is_writable:
                write_json(features / FILE, choices)
    return dataclasses.replace(config, precision=choices[case])


def _lock(features, held):
    """Makes one process measure at a time; returns False where the folder can't be written."""
    try:
        features.mkdir(parents=True, exist_ok=True)
        message = f"Another process measures the precision for {features}; waiting for it."
        held.enter_context(locked(features / LOCK, message, wait=True))
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        return False
    return True


def _measure(config):
    seconds = measure_precisions(config)
    faster = seconds["bfloat16"] * MIN_SPEEDUP < seconds["float32"]
    chosen = "bfloat16" if faster else "float32"
    shown = ", ".join(f"{name} {BATCH_SIZE / s:.1f} photos/s" for name, s in seconds.items())
    print(f"Precision of the backbone: {chosen} (measured here: {shown}).")
    return chosen


def _load_choices(features):
    path = features / FILE
    if not path.exists():
        return {}
    try:
        choices = json.loads(path.read_text(encoding="utf-8"))
        if set(choices.values()) <= {"float32", "bfloat16"}:
            return choices
    except (ValueError, TypeError, AttributeError):
        pass  # warned of below
    warn_corrupted(path, "the precision is measured again")
    return {}


def measure_precisions(config: FitConfig) -> dict[str, float]:
    """Returns the seconds that one batch takes in float32 and in bfloat16.

    Where a single photo in bfloat16 takes longer than the batch in float32, that is all that is
    measured of it: with emulation the batch would take minutes.
    """
    photos = np.random.default_rng(0).uniform(0, 255, (BATCH_SIZE, *[config.image_size] * 2, 3))
    photos = photos.astype(np.float32)
    seconds: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        backbone = build_backbone(
            dataclasses.replace(config, precision=precision, weights="random")
        )
        backbone.predict_on_batch(photos[:1])  # traces
        one = _time(backbone, photos[:1])
        too_slow = precision == "bfloat16" and one > seconds["float32"]
        seconds[precision] = one * BATCH_SIZE if too_slow else _time(backbone, photos)
    return seconds


def _time(backbone: keras.Model, photos) -> float:
    started = time.perf_counter()
    backbone.predict_on_batch(photos)
    return time.perf_counter() - started


def _precision_of_hardware():
    """Returns the better precision where the hardware leaves no doubt, else an empty text."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(gpu)
            capable = details.get("compute_capability", (0, 0)) >= (8, 0)
            return "bfloat16" if capable else "float32"
    flags = cpu_flags()
    return "" if not flags or BFLOAT16 & flags else "float32"
