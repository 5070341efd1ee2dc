"""Reads a recogniser back from the file that a run has written."""

import zipfile
import zlib
from pathlib import Path

import keras

from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError

UNLOADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_recognizer(path: Path) -> Recognizer:
    """Reads a `Recognizer`, not compiled.

    Args:
        path: Of a run's `model.keras`.

    Raises:
        UserError: the file is damaged, was changed or holds another model.
    """
    try:
        # Safe mode: a file can't bring code of its own along.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, Recognizer):
            raise TypeError(f"a {type(model).__name__}, not a Recognizer")
    except UNLOADABLE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path} can't be loaded: {reason[0]}\nIt is damaged, or was changed after training. "
            f"Delete {path.parent} and train again with its config.json, or copy the file again."
        ) from error
    return model
