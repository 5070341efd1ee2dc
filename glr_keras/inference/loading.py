"""The recogniser of a complete run, as it answers: in float32, on photos of the right size."""

import sys
from pathlib import Path

import keras

from glr_keras.config import read_json
from glr_keras.data.manifest import fingerprint, read_manifest
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import find_views
from glr_keras.features.finetuned import find_finetuned_views
from glr_keras.features.store import FeatureViews
from glr_keras.inference.model_dir import check_run, data_dir_of
from glr_keras.models.backbones import hash_weights
from glr_keras.models.finetuned import front_of
from glr_keras.models.recognizer import Recognizer
from glr_keras.models.saving import read_recognizer
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError, command_line

SHORT_SIDE = 256  # pixels; what `tfrecords.build` scales photos to by default


def load_recognizer(run_dir: Path) -> Recognizer:
    """Loads the recogniser of a complete run, to compute in float32.

    A backbone that was trained on in bfloat16 has the same weights in float32; so the numbers do
    not depend on the processor, and one without bfloat16 is not slow.

    Raises:
        UserError: the run is not complete, its model file is damaged, was changed or has other
            weights than the run ended with, or Keras does not compute with TensorFlow.
    """
    check_run(run_dir)
    if keras.config.backend() != "tensorflow":
        raise UserError(
            f"Runs are loaded with TensorFlow, and Keras computes with {keras.config.backend()} "
            "here. Set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    run = RunDir(run_dir)
    recognizer = read_recognizer(run.model, in_float32=True)
    expected = run.read_metrics().get("weights_sha256")  # earlier versions had none
    if expected is not None and hash_weights(recognizer) != expected:
        train = command_line("glr_keras.fit", "--config", run_dir / "config.json")
        raise UserError(
            f"{run.model} has other weights than this run ended with (their SHA-256 is not that of "
            f"{run.metrics.name}). Copy the file of this run again, or train in another directory: "
            f"{train} --run-dir RUN"
        )
    return recognizer


def short_side_of(run_dir: Path, data_dir: Path | None = None) -> int:
    """Returns the short side of the records that a run was trained on, in pixels.

    Args:
        run_dir: Directory of a complete run.
        data_dir: Where its records are now. Only old runs, which did not store the short side, need
            them; records that are others are not believed.
    """
    environment = RunDir(run_dir).read_environment()
    if "short_side" in environment:
        return environment["short_side"]
    data_dir = data_dir_of(run_dir, data_dir)
    manifest = read_manifest(data_dir)
    if manifest is not None and fingerprint(manifest) == environment.get("records"):
        return manifest.get("short_side", SHORT_SIDE)
    print(
        f"warning: {run_dir} does not say to which short side its photos were scaled, and its "
        f"records are not in {data_dir}; photos are scaled to {SHORT_SIDE} pixels.",
        file=sys.stderr,
    )
    return SHORT_SIDE


def records_of(run: Path, data_dir: Path | None = None) -> Records:
    """Opens the records that a run has learned from, or those in `data_dir`.

    Raises:
        UserError: an export without `data_dir`, or records that are gone.
    """
    if data_dir is None:
        if not (run / "config.json").is_file():
            raise UserError(
                f"{run} is an export, which does not know the records of its run. Name photos, or "
                "the records: --data-dir DATA"
            )
        try:
            return open_records(data_dir_of(run))
        except UserError as error:
            raise UserError(f"{error} If they are elsewhere, name them: --data-dir DATA") from error
    return open_records(data_dir)


def stored_views(
    run_dir: Path, recognizer: Recognizer, records: Records, split: str, frozen: bool = False
) -> FeatureViews | None:
    """Returns the features of a split that a run has stored; None if there are not all.

    Args:
        run_dir: Directory of a complete run.
        recognizer: Of that run.
        records: From `data.open_records`.
        split: "train", "validation" or "test".
        frozen: Bool, whether those of a fine-tuned run are to be what its trunk has learned on,
            which no label has touched.
    """
    config, facts = read_json(run_dir / "config.json"), RunDir(run_dir).read_environment()
    if config.is_live or "backbone_weights" not in facts:
        return None
    if config.finetune_after and not frozen:
        return find_finetuned_views(records, split, recognizer.backbone, config)
    backbone = front_of(recognizer.backbone) if config.finetune_after else recognizer.backbone
    shape = backbone.output_shape[1:]
    return find_views(records, split, facts["backbone_weights"], shape, config)
