"""A recogniser as LiteRT files (TensorFlow Lite), and their runtime."""

import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from glr_keras.exporting.portable import INPUT
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError, command_line, stderr_held_back
from tfrecords.common.parallel import available_cores

PRECISIONS = ("float32", "float16", "int8")


def write_litert(
    pixels: tf.function,
    recognizer: Recognizer,
    folder: Path,
    calibration: Callable[[], Iterable[np.ndarray]],
) -> dict[str, Path]:
    """Writes a file in each of `PRECISIONS`.

    float16 has weights of half the size and computes in float32. int8 has weights and activations
    of 8 bits, with float32 where an operation has no such version; inputs and outputs stay float32.

    Args:
        pixels: From `portable_function`.
        recognizer: Recognizer, whose weights it uses.
        folder: Where to.
        calibration: Returns views of photos, float32 `(1, image_size, image_size, 3)`, from which
            the ranges of activations are taken.

    Returns:
        Precision -> file.

    Raises:
        UserError: the model has operations that LiteRT does not have.
    """
    module = tf.Module()
    module.tracked = [variable.value for variable in recognizer.weights]
    module.pixels = pixels
    files = {}
    with tempfile.TemporaryDirectory() as temporary, stderr_held_back():
        tf.saved_model.save(module, temporary, signatures={"serving_default": module.pixels})
        for precision in PRECISIONS:
            files[precision] = folder / f"model_{precision}.tflite"
            files[precision].write_bytes(_convert(temporary, precision, calibration))
    return files


def open_litert(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns the function that a file holds, run by LiteRT's interpreter on all cores."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=available_cores())
    runner = interpreter.get_signature_runner("serving_default")
    return lambda photos: runner(**{INPUT: photos})


def _convert(saved_model, precision, calibration):
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]  # no Flex operations
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ({INPUT: views} for views in calibration())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter calibrates with the old interpreter
            return converter.convert()
    except Exception as error:  # its class is not public
        if "TF Select" not in str(error) and "flex" not in str(error).lower():
            raise
        reason = str(error).strip().splitlines()[0]
        command = command_line("glr_keras.export", "RUN", "--out", "DIR")
        raise UserError(
            f"LiteRT does not have all operations of this model ({reason}), and phones do not have "
            f"TensorFlow's. Export a SavedModel: {command}"
        ) from error
