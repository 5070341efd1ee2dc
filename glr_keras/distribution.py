"""Several devices of one machine: each takes a part of every batch."""

import keras
import tensorflow as tf


def make_strategy(distribute: str) -> tf.distribute.Strategy:
    """Returns what spreads a batch over devices: all GPUs, or all logical CPU devices if none.

    Args:
        distribute: "none" or "mirrored".
    """
    if distribute == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def synchronize_norms(model: keras.Model, synchronized: bool) -> None:
    """Says whether batch norm takes its statistics from the whole batch, or a device's part of it.

    Only the whole batch gives what one device would. It is not left so in a saved model: other
    Keras backends don't know it.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            synchronize_norms(layer, synchronized)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
