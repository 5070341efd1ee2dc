"""Variables of a model and of its optimizer as arrays, and back."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from glr_keras.runs.arrays import PIECE_BYTES, StoredArray


def values(variables) -> list[np.ndarray]:
    """Returns copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables, arrays) -> None:
    """Gives each variable its array."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def view(variable) -> np.ndarray:
    """Returns an array on the variable's own memory: a copy of 103 million weights takes 0.4 GB."""
    return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))


def restore(variables, stored: Sequence[StoredArray]) -> None:
    """Gives each variable its stored array; a large one piece by piece, in its own memory.

    Raises:
        ValueError: these are not the variables whose values were stored.
    """
    expected = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in stored] != expected:
        raise ValueError(f"expected {len(expected)} arrays of this model, got {len(stored)}")
    for variable, array in zip(variables, stored, strict=True):
        if nbytes(variable) > PIECE_BYTES and not _is_mirrored(variable):
            for rows, piece in array.pieces():
                variable.value[rows].assign(piece)
        else:
            variable.assign(array.read())


def nbytes(variable) -> int:
    """Returns the size of a variable; none here is wider than 4 bytes per value but the steps."""
    return int(np.prod(variable.shape)) * 4


def changing(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables that training may change: all but those of frozen networks."""
    head = getattr(model, "head", model)
    networks = (getattr(model, "backbone", None), getattr(head, "trunk", None))
    frozen = {id(v) for one in networks if one is not None for v in one.non_trainable_variables}
    return [variable for variable in model.variables if id(variable) not in frozen]


def _is_mirrored(variable):
    return isinstance(variable.value, tf.distribute.DistributedValues)
