"""Where the model looked: attention maps of an ABN, Grad-CAM for a head without attention."""

import keras
import numpy as np
import tensorflow as tf

from glr_keras.models.finetuned import FineTunedHead
from glr_keras.models.recognizer import Recognizer


def explain(recognizer: Recognizer, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recognises photos and says where the model looked.

    Args:
        recognizer: Recognizer.
        photos: float32 `(batch, image_size, image_size, 3)`, RGB in [0, 255].

    Returns:
        probabilities: float32 `(batch, landmarks)`, rows add up to 1.
        maps: float32 `(batch, height, width)` in [0, 1], see `answer_with_map`.
    """
    features = recognizer.backbone(photos, training=False)
    probabilities, maps = answer_with_map(recognizer.head, features)
    to_numpy = keras.ops.convert_to_numpy
    return to_numpy(probabilities), to_numpy(maps)


def answer_with_map(head: keras.Model, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes what a head answers and, in the same pass, where it looked.

    Args:
        head: One of `heads.HEADS`.
        features: Tensor `(batch, height, width, channels)`, of a backbone.

    Returns:
        probabilities: float32 Tensor `(batch, landmarks)`, rows add up to 1, as
            `head.probabilities` returns them.
        maps: float32 Tensor `(batch, height, width)` on the grid of the features, in [0, 1]: the
            ABN's attention map, else Grad-CAM of the predicted landmark.
    """
    outputs, maps = outputs_with_map(head, features)
    return probabilities_of(head, outputs), maps


def outputs_with_map(head: keras.Model, features: tf.Tensor) -> tuple[dict, tf.Tensor]:
    """Returns the logits of each branch, a dict, and the maps of `answer_with_map`."""
    if isinstance(head, FineTunedHead):
        return outputs_with_map(head.inner, head.trunk(features, training=False))
    if hasattr(head, "explain"):
        outputs = dict(head.explain(features))
        maps = outputs.pop("attention_map")[..., 0]
    else:
        outputs, maps = grad_cam(head, features)
    return outputs, tf.cast(maps, tf.float32)


def probabilities_of(head, outputs):
    """Turns the logits that `head` returns, its dict, into its answer."""
    return tf.exp(head.answer_log_probabilities(outputs))


def grad_cam(
    head: keras.Model, features: tf.Tensor, labels: tf.Tensor | None = None
) -> tuple[dict, tf.Tensor]:
    """Computes Grad-CAM of a landmark, scaled so that each map's maximum is 1.

    Args:
        head: Model from features to a dict with "perception" logits.
        features: Tensor `(batch, height, width, channels)`.
        labels: Int Tensor `(batch,)`, of the landmarks; None for the predicted ones.

    Returns:
        outputs: What `head` returns.
        maps: float32 Tensor `(batch, height, width)` in [0, 1]; all 0 where nothing speaks for the
            landmark.

    Reference:
    - [Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391), equations 1 and 2
    """
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = head(features, training=False)
        logits = outputs["perception"]
        if labels is None:
            score = tf.reduce_max(logits, axis=1)
        else:
            score = tf.gather(logits, labels, axis=1, batch_dims=1)
    importance = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
    return outputs, divide_by_maximum(tf.reduce_sum(importance * features, axis=-1))


def divide_by_maximum(maps: tf.Tensor) -> tf.Tensor:
    """Cuts maps off at 0 and divides each by its maximum: float32 `(batch, height, width)`."""
    maps = tf.nn.relu(tf.cast(maps, tf.float32))
    return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(1, 2), keepdims=True))
