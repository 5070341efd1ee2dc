"""The settings of Keras that this project is written for, whatever a program has chosen."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def standard_settings() -> Iterator[None]:
    """Builds layers as if keras.json were not there: float32, channels last.

    Layers read these settings when they are built, and models loaded, so both belong in here. A
    program that has others for its own models keeps them.
    """
    config = keras.config
    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    _set(config, "float32", "channels_last", "float32")
    try:
        yield
    finally:
        _set(config, *before)


def _set(config, floatx, image_data_format, dtype_policy):
    config.set_floatx(floatx)
    config.set_image_data_format(image_data_format)
    config.set_dtype_policy(dtype_policy)
