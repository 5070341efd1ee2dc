"""Trains a head on stored features and leaves a complete run directory."""

import dataclasses
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np

from glr_keras.backbones import (
    WeightsUnreachableError,
    build_backbone,
    choose_precision,
    hash_weights,
)
from glr_keras.config import FitConfig
from glr_keras.data import SPLITS, Records, open_records
from glr_keras.features import (
    FeatureViews,
    eval_batches,
    feature_views,
    steps_per_epoch,
    train_batches,
)
from glr_keras.metrics import confusion_matrix, measure
from glr_keras.models import Recognizer, build_head, compile_model
from glr_keras.report import draw_figures
from glr_keras.run import RunDir, TrainingState

OBJECTIVE = "val_perception_accuracy"  # the best epoch is the one where this is highest
EVAL_BATCH = 256  # photos; only speed and memory depend on it


def train(config: FitConfig, is_demo: bool = False) -> dict:
    """Makes the run directory that `config` names complete, from wherever it stands.

    Args:
        config: FitConfig with data_dir and run_dir set.
        is_demo: Whether the photos are the built-in demo's: only then do random weights stand in
            for ImageNet's that can't be had.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: no records, a run of another config, unusable weights.
    """
    records = open_records(Path(config.data_dir))
    run = RunDir(Path(config.run_dir))
    run.check(config)
    backbone, warning = load_backbone(config, fall_back=is_demo)
    run.start(config)  # only now: a mistake in the flags leaves no directory behind
    weights_hash = hash_weights(backbone)
    run.bind(records.fingerprint, weights_hash, choose_precision(config.precision))
    run.write_text("labels.txt", "\n".join(records.landmarks) + "\n")

    views = {s: feature_views(records, s, backbone, weights_hash, config) for s in SPLITS}
    head, state = fit_head(views, len(records.landmarks), config, run)
    recognizer = Recognizer(backbone, head, records.landmarks)
    recognizer.build(backbone.input_shape)
    run.save_model(recognizer)

    logits = {s: predict_logits(head, views[s]) for s in ("validation", "test")}
    metrics = describe_run(config, is_demo, warning, records, state)
    for split, outputs in logits.items():
        labels, photo_ids = views[split].labels, views[split].photo_ids
        metrics[split] = measure(outputs, labels, photo_ids, records.landmarks)
    predicted = logits["test"]["perception"].argmax(1)
    matrix = confusion_matrix(views["test"].labels, predicted, len(records.landmarks))
    draw_figures(run, recognizer, records, config, state, matrix, metrics)
    run.write_json("metrics.json", metrics)
    run.forget_state()
    return metrics


def describe_run(
    config: FitConfig, is_demo: bool, warning: str, records: Records, state: TrainingState
) -> dict:
    """Returns what a reader of the numbers must know first, for the head of `metrics.json`."""
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
        "epochs": state.epoch,
        "best_epoch": state.best_epoch + 1,
    }


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


def fit_head(
    views: dict[str, FeatureViews], num_landmarks: int, config: FitConfig, run: RunDir
) -> tuple[keras.Model, TrainingState]:
    """Trains a head, from the run's last whole epoch if there is one; returns it at its best."""
    head = build_head(config, num_landmarks, views["train"].shape)
    compile_model(head, config)
    head.optimizer.build(head.trainable_variables)
    keeper = StateKeeper(head, run)
    if keeper.state.epoch:
        print(f"Going on after epoch {keeper.state.epoch} of {config.epochs}.")
    if keeper.state.epoch < config.epochs:
        head.fit(
            train_batches(views["train"], head.output_names_of_loss, config, keeper.state.epoch),
            shuffle=False,  # the batches come shuffled
            steps_per_epoch=steps_per_epoch(len(views["train"]), config.batch_size),
            initial_epoch=keeper.state.epoch,
            epochs=config.epochs,
            validation_data=eval_batches(
                views["validation"], head.output_names_of_loss, EVAL_BATCH
            ),
            callbacks=[keeper, keras.callbacks.TensorBoard(run.logs)],
        )
    _assign(head.weights, run.load_best(keeper.state.best_epoch))
    return head, keeper.state


def predict_logits(head: keras.Model, views: FeatureViews) -> dict[str, np.ndarray]:
    """Returns each output's logits `(photos, landmarks)` for a split, in its order."""
    return head.predict(eval_batches(views, head.output_names_of_loss, EVAL_BATCH), verbose=0)


class StateKeeper(keras.callbacks.Callback):
    """Keeps, after each epoch, all that going on exactly needs; starts from what is kept.

    Keras' own BackupAndRestore replays an interrupted epoch on weights that have seen half of it.
    """

    def __init__(self, head: keras.Model, run: RunDir):
        super().__init__()
        self.run = run
        self.variables = head.variables + head.optimizer.variables
        self.weights = head.weights
        self.state = run.load_state() or TrainingState(0, [], 0, [])
        if self.state.epoch:
            _assign(self.variables, self.state.variables)
            self.state.variables = []

    def on_epoch_end(self, epoch, logs=None):
        history = [*self.state.history, _row(epoch, logs)]
        # max() keeps the first of equals: the earliest epoch that reached the best.
        best_epoch = max(range(len(history)), key=lambda e: history[e][OBJECTIVE])
        is_best = best_epoch == epoch
        self.state = TrainingState(epoch + 1, history, best_epoch, [])
        state = dataclasses.replace(self.state, variables=_values(self.variables))
        self.run.save_state(state, best=_values(self.weights) if is_best else None)
        self.run.write_history(history)


def _values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _row(epoch, logs):
    """A row of history.csv: floats with the digits that float32 has, so that they are exact."""
    values = {name: float(str(np.float32(value))) for name, value in logs.items()}
    return {"epoch": epoch + 1} | {name: values[name] for name in sorted(values)}
