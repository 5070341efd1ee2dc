"""Writes an export: a SavedModel as TensorFlow Serving wants it, and what describes it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import keras
import tensorflow as tf

from glr_keras.calibration.rejector import Rejector
from glr_keras.inference.endpoints import build_endpoints
from glr_keras.inference.model_dir import DESCRIPTION, EXTRA, LABELS, NO_TTA
from glr_keras.inference.saved_model import Description, hash_files
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.files import write_atomically, write_json


def describe(
    recognizer: Recognizer,
    short_side: int,
    precision: str,
    rejector: Rejector | None = None,
    tta: str = NO_TTA,
) -> Description:
    """Describes an export of `recognizer`."""
    return Description(
        image_size=recognizer.image_size,
        short_side=short_side,
        precision=precision,
        backbone=recognizer.backbone.name,
        head=type(recognizer.head).__name__,
        framing=recognizer.framing,
        temperature=rejector.temperature if rejector else 1.0,
        rejection=rejector.settings if rejector else {},
        tta=tta,
    )


def write_export(
    recognizer: Recognizer,
    description: Description,
    folder: Path,
    rejector: Rejector | None = None,
) -> None:
    """Writes one version of an export into `folder`.

    In half precision, kernels are stored so on disk and in memory, and turned to float32 for each
    call: it computes in float32 all the same, on any processor.
    """
    module = tf.Module()
    if rejector is not None:  # in variables: a graph can't hold 2 GB of constants
        arrays = {name: tf.Variable(values) for name, values in rejector.arrays.items()}
        rejector, module.rejection = replace(rejector, arrays=arrays), list(arrays.values())
    scope: Callable = nullcontext
    module.tracked = [variable.value for variable in recognizer.weights]
    if description.precision != "float32":
        scope, module.tracked = half_precision(recognizer, description.precision)
    endpoints = build_endpoints(
        recognizer, description.short_side, scope, rejector, description.tta
    )
    tf.saved_model.save(module, folder, signatures=endpoints)
    description = replace(description, sha256=hash_files(folder))
    extra = folder / EXTRA
    extra.mkdir()
    write_atomically(extra / LABELS, "\n".join(recognizer.landmarks) + "\n")
    write_json(extra / DESCRIPTION, asdict(description))


def half_precision(recognizer: Recognizer, precision: str) -> tuple[Callable, list[tf.Variable]]:
    """Returns a scope for `build_endpoints` with half-precision kernels, and all its variables."""
    large = large_weights(recognizer)
    halves = [tf.Variable(tf.cast(variable.value, precision)) for variable in large]

    def weights_scope():
        pairs = zip(large, halves, strict=True)
        return keras.StatelessScope([(v, tf.cast(half, v.dtype)) for v, half in pairs])

    return weights_scope, halves + [v.value for v in recognizer.weights if len(v.shape) <= 1]


def large_weights(recognizer: Recognizer) -> list[keras.Variable]:
    """Returns the kernels. Biases and the averages of batch norm are few, and need their digits."""
    return [variable for variable in recognizer.weights if len(variable.shape) > 1]


def round_weights(recognizer: Recognizer, precision: str) -> None:
    """Gives the kernels the values that an export in `precision` has of them."""
    for variable in large_weights(recognizer):
        variable.assign(tf.cast(tf.cast(variable.value, precision), variable.dtype))
