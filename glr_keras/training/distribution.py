"""Several devices of one machine: each takes a part of every batch."""

from collections.abc import Callable

import keras
import tensorflow as tf

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError


def make_strategy(distribute: str) -> tf.distribute.Strategy:
    """Returns what spreads a batch over devices: all GPUs, or all logical CPU devices if none.

    Args:
        distribute: "none" or "mirrored".
    """
    if distribute == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_batch_size(config: FitConfig, devices: int) -> None:
    """Raises `UserError` where the devices can't share a batch evenly."""
    if config.batch_size % devices:
        raise UserError(
            f"--distribute mirrored: {devices} devices can't share a batch of {config.batch_size} "
            f"evenly. Expected a multiple of {devices} as --batch-size."
        )


def mirror(model: keras.Model, input_shape: tuple) -> keras.Model:
    """Builds a model like `model`, with its weights, on the devices of the strategy in scope."""
    replica = type(model).from_config(model.get_config())
    replica.build(input_shape)
    replica.set_weights(model.get_weights())
    synchronize_norms(replica)
    return replica


def synchronize_norms(model: keras.Model) -> None:
    """Makes batch norm take its statistics from the whole batch, not from a device's part of it.

    Only the whole batch gives what one device would.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            synchronize_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


class OneDeviceValidation(keras.callbacks.Callback):
    """Measures a mirrored model on validation photos as one device does, and adds that to the logs.

    Keras' own validation fails on a batch that the devices can't share evenly, and no photo may be
    left out of it. Goes before callbacks that read the logs.

    Args:
        model: Compiled model outside the strategy, of the same form; is given the weights.
        make_batches: Function that returns the batches.
        before: Function that is called first.
    """

    def __init__(
        self,
        model: keras.Model,
        make_batches: Callable[[], tf.data.Dataset],
        before: Callable[[], None],
    ):
        super().__init__()
        self._one_device, self._make_batches, self._before = model, make_batches, before

    def on_epoch_end(self, epoch, logs=None):
        self._before()
        self._one_device.set_weights(self.model.get_weights())
        found = self._one_device.evaluate(self._make_batches(), verbose=0, return_dict=True)
        logs.update({f"val_{name}": value for name, value in found.items()})
        print(" - ".join(f"val_{name}: {value:.4f}" for name, value in found.items()))
