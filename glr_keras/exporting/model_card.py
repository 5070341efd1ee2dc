"""MODEL_CARD.md: what a model is, what it was measured to do, and what it must not be used for.

Reference:
- [Mitchell et al., 2019](https://arxiv.org/abs/1810.03993); the headings are those of
  [Hugging Face's cards](https://huggingface.co/docs/hub/model-card-annotated)
"""

import statistics
from collections.abc import Mapping
from pathlib import Path

import jinja2

from glr_keras.calibration.rejector import Rejector
from glr_keras.data.manifest import read_manifest
from glr_keras.reporting.contents import RunContents, command_of, read_contents
from glr_keras.reporting.measured_tables import slice_rows
from glr_keras.reporting.tables import Fraction, headline_rows, landmark_rows
from glr_keras.runs.predictions import read_predictions
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.files import write_atomically
from tfrecords.common.types import one_line

FILE = "MODEL_CARD.md"
MAX_NAMES = 100  # of landmarks listed
WORST = 5  # landmarks named as the model's weakest
LICENCES = {
    "vgg16": "Visual Geometry Group, University of Oxford, CC BY 4.0",
    "vgg19": "Visual Geometry Group, University of Oxford, CC BY 4.0",
}
OTHER_LICENCE = (
    "as keras.applications states it for this network: https://keras.io/api/applications"
)
STARTS = {
    "savedmodel": """import tensorflow as tf

serve = tf.saved_model.load("EXPORT").signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
print(answer["landmarks"][0, 0], answer["scores"][0, 0])""",
    "litert": """from ai_edge_litert.interpreter import Interpreter

model = Interpreter("model_float32.tflite").get_signature_runner("serving_default")
answer = model(photos=view[None])  # float32; what a view is: "crop" in model.json
print(labels[answer["probabilities"][0].argmax()])  # "labels" in model.json""",
    "onnx": """import onnxruntime

model = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = model.run(["probabilities"], {"photos": view[None]})  # "crop" in model.json
print(labels[probabilities[0].argmax()])  # "labels" in model.json""",
}


def write_model_card(
    folder: Path,
    run: Path,
    data_dir: Path,
    sha256: Mapping[str, str],
    style: str,
    comparison: str,
    rejector: Rejector | None,
) -> None:
    """Writes the card of an export.

    Args:
        folder: Of the export.
        run: Directory of the complete run that it was made of.
        data_dir: Its records.
        sha256: File of the export -> its hash.
        style: Of the export, a key of `STARTS`.
        comparison: What was measured of the export against Keras, in Markdown.
        rejector: Of the export, whose `accept` may be another one than the run's.
    """
    run_dir = RunDir(run)
    results = read_predictions(run) or ()
    contents = read_contents(run_dir, run_dir.read_metrics(), results, data_dir, ())
    rejection = contents.metrics.get("rejection", {}) | (rejector.summary if rejector else {})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("glr_keras.exporting"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"code": code, "fraction": show_fraction}
    text = environment.get_template("model_card.md").render(
        run=contents,
        metrics=contents.metrics,
        command=command_of(contents.config),
        rows=headline_rows(contents.metrics),
        data=describe_data(contents, data_dir),
        worst=worst_landmarks(contents),
        slices=slice_rows(contents),
        rejection=rejection,
        licence=licence_of(contents),
        versions=contents.environment.get("versions", {}),
        sha256=sha256,
        start=STARTS[style],
        comparison=comparison,
        max_names=MAX_NAMES,
    )
    write_atomically(folder / FILE, text)


def describe_data(contents: RunContents, data_dir: Path) -> dict:
    """Returns how many photos each split has, how unequal landmarks are, and where from."""
    manifest = read_manifest(data_dir) or {}
    train = [counts["train"] for counts in contents.counts.values()]
    return {
        "photos": manifest.get("photos", {}),
        "source": manifest.get("source", "unknown"),
        "near_duplicates": manifest.get("near_duplicates"),
        "fewest": min(train, default=None),
        "median": statistics.median(train) if train else None,
        "most": max(train, default=None),
    }


def worst_landmarks(contents: RunContents) -> list[dict]:
    """Returns the rows of `landmark_rows` with the lowest recall on test photos."""
    rows, _ = landmark_rows(contents, len(contents.landmarks))
    rows = [row for row in rows if row["recall"].trials]
    return sorted(rows, key=lambda row: (row["recall"].value, row["landmark"]))[:WORST]


def licence_of(contents: RunContents) -> str:
    """Returns whose weights the backbone began with, and on what terms they may be used."""
    if contents.metrics.get("weights", contents.config.weights) == "random":
        return "random weights, drawn from a seed: nobody's"
    return LICENCES.get(contents.config.backbone, OTHER_LICENCE)


def code(text: str) -> str:
    """Shows a name as Markdown code, also in a table, whatever is in it."""
    shown = one_line(str(text)).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def show_fraction(fraction: Fraction) -> str:
    """Shows a fraction with its interval."""
    low, high = fraction.interval
    return f"{fraction.value:.1%} [{low:.1%}, {high:.1%}]"
