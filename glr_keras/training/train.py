"""Trains a model on stored features, or live, and leaves a complete run directory."""

import dataclasses
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np

from glr_keras.calibration.evidence import Evidence, EvidenceCollector, average
from glr_keras.calibration.rejector import fit_rejector
from glr_keras.calibration.train_features import TrainFeatures
from glr_keras.config import FitConfig
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import feature_views
from glr_keras.models.answer import answer_log_probabilities
from glr_keras.models.backbones import WeightsUnreachableError, build_networks, hash_weights
from glr_keras.models.heads import build_head
from glr_keras.models.precision import choose_precision
from glr_keras.models.recognizer import Recognizer
from glr_keras.reporting.report import draw_figures
from glr_keras.reporting.run_report import write_run_report
from glr_keras.runs.context import RunContext
from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.predictions import photo_results, write_predictions
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.batches import LivePhotos, Source, StoredFeatures
from glr_keras.training.distribution import check_batch_size, make_strategy
from glr_keras.training.finetuning import load_base
from glr_keras.training.loop import fit_recognizer


def train(config: FitConfig) -> dict:
    """Makes the run directory that `config` names complete, from wherever it stands.

    Args:
        config: FitConfig with data_dir and run_dir set.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: no records, a run of another config, unusable weights, a run in use, a training
            that diverged, a damaged checkpoint.
    """
    records = open_records(Path(config.data_dir))
    run = RunDir(Path(config.run_dir))
    config = run.resolve(config)
    run.check(config)
    strategy = make_strategy(config.distribute)
    check_batch_size(config, strategy.num_replicas_in_sync)
    config = choose_precision(config, config.features_path)
    recognizer, warning = build_recognizer(config, records)
    context = RunContext(config, records, run, recognizer, warning)
    with run.claim(config):  # only now: a mistake in the flags leaves no directory behind
        weights_hash = bind_inputs(context)
        source = open_source(context, weights_hash, strategy.num_replicas_in_sync)
        state = fit_recognizer(recognizer, source, strategy, config, run)
        return complete_run(context, source, state)


def bind_inputs(context: RunContext) -> str:
    """Writes what the run depends on and what its answers need; returns the weights' hash."""
    config, records, recognizer = context.config, context.records, context.recognizer
    weights_hash = hash_weights(recognizer if config.finetune_from else recognizer.backbone)
    inputs = {
        "records": records.fingerprint,
        "backbone_weights": weights_hash,
        "precision": config.precision,
    }
    if config.branch_layer:
        inputs["trunk_weights"] = hash_weights(recognizer.head.trunk)
    facts = {
        "landmarks": len(records.landmarks),
        "image_size": config.image_size,
        "short_side": records.manifest["short_side"],
    }
    context.run.bind(inputs, facts)
    context.run.write_text("labels.txt", "\n".join(records.landmarks) + "\n")
    return weights_hash


def build_recognizer(config: FitConfig, records: Records) -> tuple[Recognizer, str]:
    """Builds the model of a run before its first step; returns it and a warning, perhaps empty.

    Only the built-in demo is trained on random weights where ImageNet's can't be had.
    """
    if config.finetune_from:
        return load_base(config, records.landmarks)
    backbone, trunk, warning = load_networks(config, fall_back=records.is_demo)
    head = build_head(config, len(records.landmarks), backbone.output_shape[1:], trunk)
    recognizer = Recognizer(backbone, head, records.landmarks, config.framing)
    recognizer.build(backbone.input_shape)
    return recognizer, warning


def load_networks(
    config: FitConfig, fall_back: bool
) -> tuple[keras.Model, keras.Model | None, str]:
    """Builds backbone and trunk; returns a warning, too, empty where they have their weights.

    With `fall_back`, ImageNet weights that can't be downloaded are replaced by seeded random ones.
    """
    try:
        return *build_networks(config), ""
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
        return *build_networks(random), warning


def open_source(context: RunContext, weights_hash: str, devices: int = 1) -> Source:
    """Opens what the run learns from; features that are missing are computed first."""
    config, records, recognizer = context.config, context.records, context.recognizer
    outputs, landmarks = recognizer.branches, len(records.landmarks)
    if config.is_live:
        return LivePhotos(records, outputs, landmarks, config, devices)
    views = feature_views(records, recognizer.backbone, weights_hash, config)
    return StoredFeatures(views, outputs, landmarks, config, devices)


def complete_run(context: RunContext, source: Source, state: TrainingState) -> dict:
    """Writes the trained model, what it reaches, figures and report; `metrics.json` comes last.

    Where one of them can't be written, the same command writes them again, without training.
    """
    print("Measuring on validation and test photos.", flush=True)
    metrics, names = describe_run(context, state), context.records.landmarks
    evidence = {split: EvidenceCollector() for split in ("validation", "test")}
    for split in ("validation", "test"):
        measured = measure_split(context.model, source, split, evidence[split])
        metrics[split] = measured.result(source.index(split)[1], names)
    print("Writing model, figures and report.", flush=True)
    context.run.save_model(context.recognizer)
    metrics["weights_sha256"] = hash_weights(context.recognizer)
    if evidence["validation"].photos:
        metrics["rejection"] = _write_rejector(context.run, source, **evidence)
    draw_figures(context, state, measured, metrics)
    results = photo_results(source.index("test")[1], measured, names)
    write_predictions(context.run.path, results)
    write_run_report(context, metrics, results)
    context.run.write_json("metrics.json", metrics)
    context.run.delete_checkpoint()
    return metrics


def _write_rejector(run, source, validation, test):
    """Fits and writes the rejector; returns what `metrics.json` says of it and of test photos."""
    rejector = fit_rejector(validation.evidence, validation.labels, _train_features(source))
    rejector.save(run.path)
    if not test.photos:
        return rejector.summary
    accepted = np.asarray(rejector.judge(test.evidence)["is_landmark"])
    correct = test.evidence.log_probabilities.argmax(1) == test.labels
    return rejector.summary | {
        "test_accepted": float(accepted.mean()),
        "test_accuracy_of_accepted": float(correct[accepted].mean()) if accepted.any() else None,
    }


def _train_features(source):
    """Sums up the stored features of all train views; None of a live run, which has none."""
    if not isinstance(source, StoredFeatures):
        return None
    labels, _ = source.index("train")
    train = TrainFeatures(source.num_landmarks, len(labels))
    for features, labels in source.in_order("train"):
        train.update(average(features), labels)
    return train


def measure_split(
    model: keras.Model, source: Source, split: str, evidence: EvidenceCollector | None = None
) -> SplitMetrics:
    """Measures a model on all photos of a split; no more than a batch of logits is in memory.

    Args:
        model, source, split: What is measured, on which photos.
        evidence: Gets what the model says, if given; it bounds its own memory.
    """
    metrics = SplitMetrics()
    with source.reraise_user_errors():
        for inputs, labels in source.eval_batches(split).as_numpy_iterator():
            outputs = model.predict_on_batch(inputs)
            answer = answer_log_probabilities(outputs, model.answer)
            logits = {"": keras.ops.convert_to_numpy(answer), **outputs}
            metrics.update(logits, labels["perception"])
            if evidence is not None:
                features = average(inputs) if isinstance(source, StoredFeatures) else None
                of_batch = Evidence(logits[""], outputs, features)
                evidence.update(of_batch, labels["perception"])
    return metrics


def describe_run(context: RunContext, state: TrainingState) -> dict:
    """Returns what a reader of the numbers must know first, for the head of `metrics.json`."""
    config, records, warning = context.config, context.records, context.warning
    is_demo = records.is_demo
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
