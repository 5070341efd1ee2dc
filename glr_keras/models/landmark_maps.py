"""The maps that a head can give from features: attention, class activation and Grad-CAM."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from glr_keras.models.attention import answer_with_map, divide_by_maximum, grad_cam
from glr_keras.models.heads import ABN
from glr_keras.models.recognizer import Recognizer
from glr_keras.saliency.grids import blur_maps

ATTENTION, CLASS, GRAD_CAM = "attention", "class", "grad-cam"
BLURRED = "blurred grad-cam"
BATCH = 32  # photos


def map_names(head: keras.Model) -> tuple[str, ...]:
    """Returns the maps that `head` has, the one it shows first."""
    return (ATTENTION, CLASS, GRAD_CAM) if isinstance(head, ABN) else (GRAD_CAM,)


def is_of_a_landmark(head: keras.Model, name: str) -> bool:
    """Returns whether the maps `name` of `head` differ between landmarks."""
    return name != ATTENTION or head.is_class_specific


def landmark_maps(
    head: keras.Model, features: np.ndarray, name: str, labels: Sequence[int] | None = None
) -> np.ndarray:
    """Computes one kind of map.

    Args:
        head: `DropoutHead` or `ABN`.
        features: float32 `(photos, rows, columns, channels)`, of the backbone.
        name: Among `map_names(head)`, or `BLURRED`: Grad-CAM with a Gaussian of one cell.
        labels: Int per photo, the landmark that the map is about; None for the head's answer. A
            class-agnostic attention map is the same for all landmarks.

    Returns:
        float32 `(photos, rows, columns)` in [0, 1]. Class activation maps and Grad-CAM show what
        speaks for the landmark, divided by the map's maximum; all 0 where nothing does.
    """
    if name == ATTENTION:
        if labels is None:
            return in_batches(lambda part: answer_with_map(head, part)[1], features)
        return in_batches(
            lambda *part: head.explain(*part)["attention_map"][..., 0], features, np.asarray(labels)
        )
    if labels is None:
        labels = in_batches(head.probabilities, features).argmax(1)
    if name == BLURRED:
        return blur_maps(landmark_maps(head, features, GRAD_CAM, labels)).astype(np.float32)

    def compute(part, labels):
        if name == CLASS:
            return class_activations(head, part, labels)
        return grad_cam(head, part, labels)[1]

    return in_batches(compute, features, np.asarray(labels))


def map_of_landmark(recognizer: Recognizer, views: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Computes what speaks for `labels` in each view: class activation maps, or else Grad-CAM.

    Args:
        recognizer: Recognizer.
        views: float32 `(photos, image_size, image_size, 3)`, RGB in [0, 255].
        labels: Int per photo.

    Returns:
        float32 `(photos, rows, columns)` in [0, 1], as `landmark_maps` returns them.
    """
    features = in_batches(lambda part: recognizer.backbone(part, training=False), views)
    return landmark_maps(recognizer.head, features, name_of_landmark_maps(recognizer.head), labels)


def name_of_landmark_maps(head: keras.Model) -> str:
    """Names the maps of `head` that differ between landmarks, the better ones if it has two."""
    return CLASS if isinstance(head, ABN) else GRAD_CAM


def class_activations(head: ABN, features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Class activation maps of the attention branch, `(batch, rows, columns)` in [0, 1]."""
    maps = tf.gather(head.class_maps(features), labels, axis=3, batch_dims=1)
    return divide_by_maximum(maps)


def in_batches(compute: Callable, *arrays: np.ndarray) -> np.ndarray:
    """Calls `compute` on `BATCH` rows of `arrays` at a time; returns all its rows."""
    parts = [
        np.asarray(compute(*(tf.constant(one[start : start + BATCH]) for one in arrays)))
        for start in range(0, len(arrays[0]), BATCH)
    ]
    return np.concatenate(parts)
