"""Recognisers: a new one of any config, and that of a complete run."""

import json
import zipfile
import zlib
from pathlib import Path

import keras

from glr_keras.config import read_json
from glr_keras.inference.model_dir import check_run
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError

SHORT_SIDE = 256  # pixels; what `tfrecords.build` makes of photos where it is told nothing else

# What Keras raises on a file that was not written by `save`, or not by ours.
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


def load_recognizer(run_dir: Path) -> Recognizer:
    """Loads the recogniser of a complete run, to compute in float32.

    A backbone that was trained on in bfloat16 has the same weights in float32; so the numbers do
    not depend on the processor, and one without bfloat16 is not slow.

    Raises:
        UserError: the run is not complete, or its model file is damaged or was changed.
    """
    check_run(run_dir)
    path = RunDir(run_dir).model
    try:
        # Safe mode: a file can't bring code of its own along.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, Recognizer):
            raise TypeError(f"a {type(model).__name__}, not a Recognizer")
    except UNLOADABLE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path} can't be loaded: {reason[0]}\nIt is damaged, or was changed after training. "
            f"Delete {run_dir} and train again with its config.json, or copy the file again."
        ) from error
    for layer in model._flatten_layers():
        layer.dtype_policy = "float32"
    return model


def short_side_of(run_dir: Path) -> int:
    """Returns the short side of the records that a run has learned from, in pixels.

    The build's default, where the records are no longer there.
    """
    data_dir = Path(read_json(run_dir / "config.json").data_dir)
    manifest = data_dir / "manifest.json"
    if not manifest.is_file():
        return SHORT_SIDE
    return json.loads(manifest.read_text(encoding="utf-8")).get("short_side", SHORT_SIDE)
