"""Trains a model on stored features, or live, and leaves a complete run directory."""

import dataclasses
import sys
import textwrap
from pathlib import Path

import keras

from glr_keras.config import FitConfig
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import feature_views
from glr_keras.models.backbones import WeightsUnreachableError, build_backbone, hash_weights
from glr_keras.models.heads import build_head
from glr_keras.models.precision import choose_precision
from glr_keras.models.recognizer import Recognizer
from glr_keras.reporting.report import draw_figures
from glr_keras.runs.context import RunContext
from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.batches import LivePhotos, Source, StoredFeatures
from glr_keras.training.distribution import check_batch_size, make_strategy
from glr_keras.training.finetuning import load_base
from glr_keras.training.loop import fit_recognizer


def train(config: FitConfig, is_demo: bool = False) -> dict:
    """Makes the run directory that `config` names complete, from wherever it stands.

    Args:
        config: FitConfig with data_dir and run_dir set.
        is_demo: Whether the photos are the built-in demo's: only then do random weights stand in
            for ImageNet's that can't be had.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: no records, a run of another config, unusable weights, a run in use, a training
            that broke down.
    """
    records = open_records(Path(config.data_dir))
    run = RunDir(Path(config.run_dir))
    run.check(config)
    strategy = make_strategy(config.distribute)
    check_batch_size(config, strategy.num_replicas_in_sync)
    settled = choose_precision(config, records.data_dir / "features")
    recognizer, warning = build_recognizer(settled, records, fall_back=is_demo)
    run.start(config)  # only now: a mistake in the flags leaves no directory behind
    with run.locked():
        frozen = recognizer if config.finetune_from else recognizer.backbone
        weights_hash = hash_weights(frozen)
        run.bind(records.fingerprint, weights_hash, settled.precision)
        run.write_text("labels.txt", "\n".join(records.landmarks) + "\n")
        devices = strategy.num_replicas_in_sync
        source = open_source(recognizer, records, weights_hash, settled, devices)
        state = fit_recognizer(recognizer, source, strategy, settled, run)
        context = RunContext(settled, records, run, recognizer, warning)
        return complete_run(context, source, state, is_demo)


def build_recognizer(
    config: FitConfig, records: Records, fall_back: bool
) -> tuple[Recognizer, str]:
    """Builds the model of a run before its first step; returns it and a warning, perhaps empty."""
    if config.finetune_from:
        return load_base(config, records.landmarks)
    backbone, warning = load_backbone(config, fall_back)
    head = build_head(config, len(records.landmarks), backbone.output_shape[1:])
    recognizer = Recognizer(backbone, head, records.landmarks)
    recognizer.build(backbone.input_shape)
    return recognizer, warning


def load_backbone(config: FitConfig, fall_back: bool) -> tuple[keras.Model, str]:
    """Builds the backbone; returns it and a warning, empty where it has the weights asked for.

    With `fall_back`, ImageNet weights that can't be downloaded are replaced by seeded random ones.
    """
    try:
        return build_backbone(config), ""
    except WeightsUnreachableError as error:
        if not fall_back:
            raise
        warning = (
            f"WARNING: {config.backbone} runs on RANDOM weights, because ImageNet's could not be "
            "downloaded. This does for the built-in demo only; real photos need them."
        )
        line = "!" * 88
        text = "\n".join(textwrap.wrap(warning, len(line)))
        print(f"\n{line}\n{text}\n\n{error}\n{line}\n", file=sys.stderr)
        random = dataclasses.replace(config, weights="random")
        return build_backbone(random), warning


def open_source(
    recognizer: Recognizer, records: Records, weights_hash: str, config: FitConfig, devices: int = 1
) -> Source:
    """Opens what the run learns from; features that are missing are computed first."""
    outputs, landmarks = recognizer.output_names_of_loss, len(records.landmarks)
    if config.is_live:
        return LivePhotos(records, outputs, landmarks, config, devices)
    views = feature_views(records, recognizer.backbone, weights_hash, config)
    return StoredFeatures(views, outputs, landmarks, config, devices)


def complete_run(context: RunContext, source: Source, state: TrainingState, is_demo: bool) -> dict:
    """Writes the trained model, what it reaches and its figures; `metrics.json` comes last."""
    print("Measuring on validation and test photos.", flush=True)
    metrics, names = describe_run(context, state, is_demo), context.records.landmarks
    for split in ("validation", "test"):
        measured = measure_split(context.model, source, split)
        metrics[split] = measured.result(source.index(split)[1], names)
    print("Writing model and figures.", flush=True)
    context.run.save_model(context.recognizer)
    draw_figures(context, state, measured, metrics)
    context.run.write_json("metrics.json", metrics)
    context.run.forget_state()
    return metrics


def measure_split(model: keras.Model, source: Source, split: str) -> SplitMetrics:
    """Measures a model on all photos of a split; no more than a batch of logits is in memory."""
    metrics = SplitMetrics()
    with source.telling():
        for inputs, labels in source.eval_batches(split).as_numpy_iterator():
            metrics.update(model.predict_on_batch(inputs), labels["perception"])
    return metrics


def describe_run(context: RunContext, state: TrainingState, is_demo: bool) -> dict:
    """Returns what a reader of the numbers must know first, for the head of `metrics.json`."""
    config, records, warning = context.config, context.records, context.warning
    data = "demo: photos drawn by a program, no real landmarks" if is_demo else config.data_dir
    return {
        **({"warning": warning} if warning else {}),
        "demo": is_demo,
        "data": data,
        "backbone": config.backbone,
        "weights": "random" if warning else config.weights,
        "head": config.head,
        "landmarks": len(records.landmarks),
        "train_photos": records.num_photos("train"),
        "epochs": len(state.history),
        "best_epoch": state.best_epoch + 1,
    }
