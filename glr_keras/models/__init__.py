"""Backbones, heads and what they learn by. Importing this registers our classes with Keras."""

from glr_keras.models import heads, objective, recognizer  # noqa: F401
