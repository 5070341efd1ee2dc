"""Trains a model from where its run stands."""

import functools
import sys
from collections.abc import Sequence
from typing import cast

import keras
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.batches import Source, StoredFeatures
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.distribution import OneDeviceValidation, mirror
from glr_keras.training.logistic import fit_logistic


def fit_recognizer(
    recognizer: Recognizer,
    source: Source,
    strategy: tf.distribute.Strategy,
    config: FitConfig,
    run: RunDir,
    log: Sequence[keras.callbacks.Callback] = (),
) -> TrainingState:
    """Trains what of `recognizer` is to learn, from where the run stands; leaves it at its best.

    Args:
        recognizer: Recognizer; all of it is trained where `config.is_live`, else its head.
        source: Batches of photos or of features, accordingly.
        strategy: From `distribution.make_strategy`; with several replicas, each takes a part of a
            batch.
        config: Resolved FitConfig.
        run: RunDir, for the checkpoint and `history.csv`.
        log: Callbacks that see each epoch once it is measured.

    Returns:
        TrainingState of the training that is over.

    Raises:
        UserError: training diverged, stored features are damaged, or the checkpoint is.
    """
    if recognizer.head.solver == "l-bfgs":
        stored = cast(StoredFeatures, source)  # FitConfig refuses anything else
        return fit_logistic(recognizer.head, stored, config, run)
    model = recognizer if config.is_live else recognizer.head
    if strategy.num_replicas_in_sync > 1:
        backbone = recognizer.backbone
        shape = backbone.input_shape if config.is_live else backbone.output_shape
        return _fit_mirrored(model, shape, source, strategy, config, run, log)
    checkpoint = _compile(model, source, config, run)
    validation = source.eval_batches("validation")
    _fit_epochs(model, source, config, checkpoint, [*log, checkpoint], validation)
    return checkpoint.state


def _fit_mirrored(model, input_shape, source, strategy, config, run, log):
    """Trains replicas of `model` on the devices of the strategy, and gives it their weights."""
    with strategy.scope():
        replicas = mirror(model, input_shape)
        checkpoint = _compile(replicas, source, config, run)
    compile_model(model, config, source.steps_per_epoch)
    batches = functools.partial(source.eval_batches, "validation")
    validation = OneDeviceValidation(model, batches, checkpoint.on_test_begin)
    callbacks = [validation, *log, checkpoint]
    _fit_epochs(replicas, source, config, checkpoint, callbacks, validation_data=None)
    model.set_weights(replicas.get_weights())
    return checkpoint.state


def _compile(model, source, config, run):
    compile_model(model, config, source.steps_per_epoch)
    model.optimizer.build(model.trainable_variables)
    return Checkpoint(model, run, config, source.steps_per_epoch)


def _fit_epochs(model, source, config, checkpoint, callbacks, validation_data):
    """Fits until training is over; first, by itself, what is left of an interrupted epoch."""
    steps, state = source.steps_per_epoch, checkpoint.state
    if state.step and not state.finished:
        epoch, step = divmod(state.step, steps)
        print(f"Resuming after step {step} of {steps} in epoch {epoch + 1} of {config.epochs}.")
    while not (state.finished or checkpoint.is_over):
        epoch, done = divmod(state.step, steps)
        with source.reraise_user_errors():
            model.fit(
                source.train_batches(state.step),
                shuffle=False,  # the batches come shuffled
                steps_per_epoch=steps - done,  # one number for all epochs of a call
                initial_epoch=epoch,
                epochs=epoch + 1 if done else config.epochs,
                validation_data=validation_data,
                callbacks=callbacks,
                # A progress bar on a terminal; in a log, a line per epoch.
                verbose=1 if sys.stdout.isatty() else 2,
            )
    checkpoint.finish()
