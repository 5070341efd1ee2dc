"""Trains a model from where its run stands."""

import functools

import keras
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.batches import Source
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.distribution import OneDeviceValidation, mirror


def fit_recognizer(
    recognizer: Recognizer,
    source: Source,
    strategy: tf.distribute.Strategy,
    config: FitConfig,
    run: RunDir,
) -> TrainingState:
    """Trains what of `recognizer` is to learn, from where the run stands; leaves it at its best."""
    steps, model = source.steps_per_epoch, recognizer if config.is_live else recognizer.head
    is_mirrored = strategy.num_replicas_in_sync > 1
    with strategy.scope():
        trained = mirror(model, _input_shape(recognizer, config)) if is_mirrored else model
        compile_model(trained, config, steps)
        trained.optimizer.build(trained.trainable_variables)
        checkpoint = Checkpoint(trained, run, config, steps)
    callbacks = [checkpoint, keras.callbacks.TensorBoard(run.logs)]
    if is_mirrored:
        compile_model(model, config, steps)
        batches = functools.partial(source.eval_batches, "validation")
        callbacks.insert(0, OneDeviceValidation(model, batches, checkpoint.on_test_begin))
    state = checkpoint.state
    if state.step and not state.finished:
        epoch, step = divmod(state.step, steps)
        print(f"Going on after step {step} of {steps} in epoch {epoch + 1} of {config.epochs}.")
    while not (state.finished or checkpoint.is_over):
        epoch, done = divmod(state.step, steps)
        with source.telling():
            trained.fit(
                source.train_batches(state.step),
                shuffle=False,  # the batches come shuffled
                # One number for all epochs, so the rest of an interrupted one is fitted by itself.
                steps_per_epoch=steps - done,
                initial_epoch=epoch,
                epochs=epoch + 1 if done else config.epochs,
                validation_data=None if is_mirrored else source.eval_batches("validation"),
                callbacks=callbacks,
            )
    checkpoint.finish()
    if is_mirrored:
        model.set_weights(trained.get_weights())
    return state


def _input_shape(recognizer, config):
    backbone = recognizer.backbone
    return backbone.input_shape if config.is_live else backbone.output_shape
