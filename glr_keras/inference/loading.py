"""Recognisers: a new one of any config, and that of a complete run."""

import json
from pathlib import Path

from glr_keras.config import read_json
from glr_keras.inference.model_dir import check_run
from glr_keras.models.recognizer import Recognizer
from glr_keras.models.saving import read_recognizer
from glr_keras.runs.run_dir import RunDir

SHORT_SIDE = 256  # pixels; what `tfrecords.build` makes of photos where it is told nothing else


# What Keras raises on a file that was not written by `save`, or not by ours.
def load_recognizer(run_dir: Path) -> Recognizer:
    """Loads the recogniser of a complete run, to compute in float32.

    A backbone that was trained on in bfloat16 has the same weights in float32; so the numbers do
    not depend on the processor, and one without bfloat16 is not slow.

    Raises:
        UserError: the run is not complete, or its model file is damaged or was changed.
    """
    check_run(run_dir)
    model = read_recognizer(RunDir(run_dir).model)
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
