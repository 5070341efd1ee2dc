"""Reads a recogniser back from the file that a run has written."""

import json
import zipfile
import zlib
from pathlib import Path

import keras

from glr_keras.models.keras_settings import standard_settings
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError, command_line

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


def read_recognizer(path: Path, in_float32: bool = False) -> Recognizer:
    """Reads a `Recognizer`, not compiled.

    Args:
        path: Of a run's `model.keras`.
        in_float32: Bool, whether all layers compute in float32, whatever they were trained in.

    Raises:
        UserError: the file is damaged, was changed or holds another model.
    """
    try:
        with standard_settings():
            model = _load(path, in_float32)
        if not isinstance(model, Recognizer):
            raise TypeError(f"a {type(model).__name__}, not a Recognizer")
    except UNLOADABLE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        train = command_line("glr_keras.fit", "--config", path.with_name("config.json"))
        raise UserError(
            f"{path} can't be loaded: {reason[0]}\nIt is damaged, or was changed after training. "
            "Copy the file again, or train again in another directory: "
            f"{train} --run-dir RUN"
        ) from error
    return model


def _load(path, in_float32):
    # Safe mode: a file can't bring code of its own along.
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    if not in_float32 or "bfloat16" not in config:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    # Layers built anew: some, such as Normalization, keep what they computed in the precision that
    # they were built in, whatever policy they are given later.
    config = config.replace('"mixed_bfloat16"', '"float32"').replace('"bfloat16"', '"float32"')
    model = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=True)
    model.load_weights(path)
    return model
