"""Trains a model on stored features, or live, and leaves a complete run directory."""

import dataclasses
import sys
import textwrap
from pathlib import Path

import keras

from glr_keras.calibration.evidence import Evidence, EvidenceCollector, average
from glr_keras.config import FitConfig
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import check_room, feature_views
from glr_keras.features.finetuned import finetuned_views
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
from glr_keras.runs.slices import measure_slices, photo_slices
from glr_keras.training.batches import LivePhotos, Source, StoredFeatures
from glr_keras.training.calibrating import fit_run_rejector, try_rejector
from glr_keras.training.distribution import check_batch_size, make_strategy
from glr_keras.training.finetuning import load_base
from glr_keras.training.loop import fit_recognizer
from glr_keras.training.tensorboard import EpochSummaries, RunLog, write_end


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
        log = RunLog(run.logs)
        epochs = EpochSummaries(context, source, log)
        state = fit_recognizer(recognizer, source, strategy, config, run, [epochs])
        return complete_run(*join_trunk(context, source), state, log)


def bind_inputs(context: RunContext) -> str:
    """Writes what the run depends on and what its answers need; returns the weights' hash."""
    config, records, recognizer = context.config, context.records, context.recognizer
    weights_hash = hash_weights(recognizer if config.finetune_from else recognizer.backbone)
    inputs = {
        "records": records.fingerprint,
        "backbone_weights": weights_hash,
        "precision": config.precision,
    }
    if config.split_layer:
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
    if config.finetune_after:  # rather now than after the training
        check_room(records, recognizer.head.trunk.output_shape[1:], config)
    return StoredFeatures(views, outputs, landmarks, config, devices)


def join_trunk(context: RunContext, source: Source) -> tuple[RunContext, Source]:
    """Makes what was fine-tuned a part of the backbone, with features of its own.

    So what comes after training sees a recogniser like any other. Without `config.finetune_after`
    nothing changes.
    """
    config, records, tuned = context.config, context.records, context.recognizer.head
    if not config.finetune_after:
        return context, source
    context = dataclasses.replace(context, recognizer=context.recognizer.joined())
    if isinstance(source, StoredFeatures):
        backbone, outputs = context.recognizer.backbone, context.recognizer.branches
        views = finetuned_views(records, backbone, tuned.trunk, source.views, config)
        source = StoredFeatures(views, outputs, len(records.landmarks), config)
    return context, source


def complete_run(context: RunContext, source: Source, state: TrainingState, log: RunLog) -> dict:
    """Writes the trained model, what it reaches, figures and report; `metrics.json` comes last.

    Where one of them can't be written, the same command writes them again, without training.
    """
    print("Measuring on validation and test photos.", flush=True)
    metrics, names = describe_run(context, state), context.records.landmarks
    validation, test = EvidenceCollector(), EvidenceCollector()
    measured = measure_split(context.model, source, "validation", validation)
    metrics["validation"] = measured.result(source.index("validation")[1], names)
    rejector = fit_run_rejector(context.run, source, validation)
    temperature = rejector.temperature if rejector else 1.0
    measured = measure_split(context.model, source, "test", test, temperature)
    metrics["test"] = measured.result(source.index("test")[1], names)
    print("Writing model, figures and report.", flush=True)
    context.run.save_model(context.recognizer)
    metrics["weights_sha256"] = hash_weights(context.recognizer)
    if rejector is not None:
        metrics |= try_rejector(rejector, measured, test)
    metrics["slices"] = _measure_slices(context, source, measured)
    draw_figures(context, state, measured, metrics)
    write_end(log, context, state, measured, metrics)
    results = photo_results(source.index("test")[1], measured, names)
    write_predictions(context.run.path, results)
    write_run_report(context, metrics, results)
    context.run.write_json("metrics.json", metrics)
    context.run.delete_checkpoint()
    return metrics


def _measure_slices(context, source, test):
    slices = photo_slices(context.records, "test", context.config.image_size)
    correct = test.predicted() == test.labels
    return measure_slices(slices, test.labels, correct, source.index("train")[0])


def measure_split(
    model: keras.Model,
    source: Source,
    split: str,
    evidence: EvidenceCollector | None = None,
    temperature: float = 1.0,
) -> SplitMetrics:
    """Measures a model on all photos of a split; no more than a batch of logits is in memory.

    Args:
        model, source, split: What is measured, on which photos.
        evidence: Gets what the model says, if given; it bounds its own memory.
        temperature: As for `SplitMetrics`.
    """
    metrics = SplitMetrics(temperature)
    with source.reraise_user_errors():
        for inputs, labels in source.eval_batches(split).as_numpy_iterator():
            outputs = model.predict_on_batch(inputs)
            answer = model.answer_log_probabilities(outputs)
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
