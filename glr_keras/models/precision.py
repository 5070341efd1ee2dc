"""Which precision the backbone computes in: bfloat16 where that is faster, else float32."""

import dataclasses
import json
import platform
import time
from pathlib import Path

import keras
import numpy as np

from glr_keras.config import FitConfig
from glr_keras.models.backbones import build_backbone
from tfrecords.common.files import warn_corrupted, write_atomically

FILE = "precision.json"
PHOTOS = 8  # in a measured batch: a second of VGG16 on two cores
SURE = 1.1  # times faster that bfloat16 must be: it rounds more


def choose_precision(config: FitConfig, features: Path | None = None) -> FitConfig:
    """Returns `config` with a precision in place of "auto", and says which.

    A processor without bfloat16 instructions emulates them, which takes many times as long, and
    some that have them are slower with them all the same. Where neither is sure, one batch is
    measured in each; the choice is kept beside the features, so that later runs find these again.

    Args:
        config: FitConfig.
        features: Folder to keep the choice in; None for nowhere.
    """
    if config.precision != "auto":
        return config
    known = _known_precision()
    if known:
        return dataclasses.replace(config, precision=known)
    kept = _load_choices(features) if features else {}
    case = f"{config.backbone} at {config.image_size} pixels on {_processor()}"
    if case not in kept:
        seconds = measure_precisions(config)
        faster = seconds["bfloat16"] * SURE < seconds["float32"]
        kept[case] = "bfloat16" if faster else "float32"
        shown = ", ".join(f"{name} {PHOTOS / s:.1f} photos/s" for name, s in seconds.items())
        print(f"Precision of the backbone: {kept[case]} (measured here: {shown}).")
        if features:
            features.mkdir(parents=True, exist_ok=True)
            write_atomically(features / FILE, json.dumps(kept, indent=2) + "\n")
    return dataclasses.replace(config, precision=kept[case])


def _load_choices(features):
    path = features / FILE
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if set(kept.values()) <= {"float32", "bfloat16"}:
            return kept
    except (ValueError, TypeError, AttributeError):
        pass  # told below
    warn_corrupted(path, "the precision is measured again")
    return {}


def measure_precisions(config: FitConfig) -> dict[str, float]:
    """Returns the seconds that one batch takes in float32 and in bfloat16.

    Where a single photo in bfloat16 takes longer than the batch in float32, that is all that is
    measured of it: with emulation the batch would take minutes.
    """
    photos = np.random.default_rng(0).uniform(0, 255, (PHOTOS, *[config.image_size] * 2, 3))
    photos = photos.astype(np.float32)
    seconds = {}
    for precision in ("float32", "bfloat16"):
        backbone = build_backbone(
            dataclasses.replace(config, precision=precision, weights="random")
        )
        backbone.predict_on_batch(photos[:1])  # traces
        one = _time(backbone, photos[:1])
        too_slow = precision == "bfloat16" and one > seconds["float32"]
        seconds[precision] = one * PHOTOS if too_slow else _time(backbone, photos)
    return seconds


def _time(backbone: keras.Model, photos) -> float:
    started = time.perf_counter()
    backbone.predict_on_batch(photos)
    return time.perf_counter() - started


def _known_precision():
    """Returns the better precision where the hardware leaves no doubt, else an empty text."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(gpu)
            capable = details.get("compute_capability", (0, 0)) >= (8, 0)
            return "bfloat16" if capable else "float32"
    flags = _cpu_flags()
    return "" if not flags or {"avx512_bf16", "amx_bf16"} & flags else "float32"


def _cpu_flags():
    """Returns what the processor can do; empty where that is not told (not Linux, not x86)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
