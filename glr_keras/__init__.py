"""Learns landmarks from photos: which place, how sure, and where the model looked.

Importing this package is light. Our models are made known to Keras as soon as Keras itself is
imported, before or after, so that `keras.saving.load_model` finds them.
"""

import importlib

import wrapt

from tfrecords.common.console import UserError

_MODULE_OF = {
    "FitConfig": "config",
    "ABN": "models.abn",
    "DropoutHead": "models.plain_heads",
    "GlobalAveragePrecision": "models.streaming",
    "Recognizer": "models.recognizer",
    "build_model": "models.recognizer",
    "faithfulness": "saliency.evaluation",
    "load": "inference.landmark_model",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'glr_keras' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"glr_keras.{_MODULE_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "torch", "openvino"):
            raise
        raise UserError(
            f"Keras is set to compute with {error.name}, which is not installed (KERAS_BACKEND, or "
            "the backend in keras.json). Set KERAS_BACKEND=tensorflow before Keras is imported."
        ) from error
    return getattr(module, name)


wrapt.register_post_import_hook(
    lambda _: importlib.import_module("glr_keras.models.heads"), "keras"
)
