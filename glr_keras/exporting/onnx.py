"""A recogniser as an ONNX file, and its runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from glr_keras.exporting.portable import INPUT
from tfrecords.common.console import stderr_held_back
from tfrecords.common.parallel import available_cores

FILE = "model.onnx"
OPSET = 17  # of the operators; onnxruntime 1.13 and later have them


def write_onnx(pixels: tf.function, _recognizer, folder: Path, _calibration) -> dict[str, Path]:
    """Writes a file in float32; its arguments and what it returns are those of `write_litert`."""
    import onnx
    import tf2onnx

    path = folder / FILE
    with stderr_held_back():
        model, _ = tf2onnx.convert.from_function(pixels, pixels.input_signature, opset=OPSET)
    _add_constants(model, pixels.get_concrete_function())
    onnx.save(model, path)
    return {"float32": path}


def open_onnx(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns the function that a file holds, run by onnxruntime on all cores of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda photos: dict(zip(names, session.run(names, {INPUT: photos}), strict=True))


def _add_constants(model, function):
    """Gives the inputs that are none their values: the means that VGG's preprocessing subtracts.

    TensorFlow passes tensors that a function refers to as further inputs, and tf2onnx keeps them.
    """
    from onnx import numpy_helper

    values = {
        inside.name: outside.numpy()
        for outside, inside in function.graph.captures
        if outside.dtype != tf.resource
    }
    used = {name for node in model.graph.node for name in node.input}
    for argument in [one for one in model.graph.input if one.name in values]:
        model.graph.input.remove(argument)
        if argument.name in used:  # tf2onnx folds some
            value = numpy_helper.from_array(values[argument.name], argument.name)
            model.graph.initializer.append(value)
