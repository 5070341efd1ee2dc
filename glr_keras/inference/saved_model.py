"""The folder of an export: a SavedModel as TensorFlow Serving wants it, and what describes it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import tensorflow as tf

from glr_keras.inference.endpoints import build_endpoints
from glr_keras.inference.model_dir import DESCRIPTION, EXTRA, LABELS, check_model, find_saved_model
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError

FORMAT = 2  # of the description; another number, another reader
VERSION = "1"  # the sub-folder that TensorFlow Serving looks for


@dataclass(frozen=True)
class Description:
    """What is to know of an export beside its graph.

    Attributes:
        image_size: Side of the square that the model sees, in pixels.
        short_side: To which photos are scaled down before, in pixels.
        precision: Of the weights on disk: "float32", "bfloat16" or "float16".
        backbone: Its name.
        head: Its class.
        format: Of this description.
    """

    image_size: int
    short_side: int
    precision: str
    backbone: str
    head: str
    format: int = FORMAT


@dataclass(frozen=True)
class Export:
    """An export that was opened.

    Attributes:
        endpoints: The functions of `serving.build_endpoints`, by name.
        landmarks: Names in label order.
        description: Description.
        saved_model: What TensorFlow loaded; its variables live as long as this does.
    """

    endpoints: dict[str, Callable]
    landmarks: list[str]
    description: Description
    saved_model: tf.Module


def describe(recognizer: Recognizer, short_side: int, precision: str) -> Description:
    """Describes an export of `recognizer`."""
    image_size = recognizer.backbone.input_shape[1]
    head = type(recognizer.head).__name__
    return Description(image_size, short_side, precision, recognizer.backbone.name, head)


def write_export(recognizer: Recognizer, description: Description, folder: Path) -> None:
    """Writes an export into `folder`.

    In half precision, the kernels are kept so on disk and in memory, and turned to float32 for each
    call: it computes in float32 all the same, on any processor.
    """
    large = large_weights(recognizer)
    module = tf.Module()
    if description.precision == "float32":
        endpoints = build_endpoints(recognizer, description.short_side)
        module.kept = [variable.value for variable in recognizer.weights]
    else:
        halves = [tf.Variable(tf.cast(v.value, description.precision)) for v in large]

        def weights_scope():
            pairs = zip(large, halves, strict=True)
            return keras.StatelessScope([(v, tf.cast(half, v.dtype)) for v, half in pairs])

        endpoints = build_endpoints(recognizer, description.short_side, weights_scope)
        module.kept = halves + [v.value for v in recognizer.weights if len(v.shape) <= 1]
    tf.saved_model.save(module, folder / VERSION, signatures=endpoints)
    extra = folder / VERSION / EXTRA
    extra.mkdir()
    labels = "\n".join(recognizer.landmarks) + "\n"
    (extra / LABELS).write_text(labels, encoding="utf-8")
    text = json.dumps(asdict(description), indent=2) + "\n"
    (extra / DESCRIPTION).write_text(text, encoding="utf-8")


def large_weights(recognizer: Recognizer) -> list[keras.Variable]:
    """Returns the kernels. Biases and the averages of batch norm are few, and need their digits."""
    return [variable for variable in recognizer.weights if len(variable.shape) > 1]


def round_weights(recognizer: Recognizer, precision: str) -> None:
    """Gives the kernels the values that an export in `precision` has of them."""
    for variable in large_weights(recognizer):
        variable.assign(tf.cast(tf.cast(variable.value, precision), variable.dtype))


def open_export(path: Path) -> Export:
    """Loads an export.

    Args:
        path: Folder that `write_export` wrote, or its folder of one version.

    Raises:
        UserError: it is no export of this project, or is damaged.
    """
    check_model(path)
    extra = find_saved_model(path) / EXTRA
    try:
        description = Description(**json.loads((extra / DESCRIPTION).read_text(encoding="utf-8")))
        landmarks = (extra / LABELS).read_text(encoding="utf-8").split("\n")[:-1]
        if description.format != FORMAT:
            raise ValueError(f"format {description.format}, expected {FORMAT}")
        saved_model = tf.saved_model.load(extra.parent)
        endpoints = dict(saved_model.signatures)
    except (ValueError, TypeError, OSError, tf.errors.OpError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} can't be loaded: {reason}\nIt is damaged, or of another version of this "
            f"project. Export again with: python -m glr_keras.export RUN --out {path} --overwrite"
        ) from error
    return Export(endpoints, landmarks, description, saved_model)
