"""Layers that heads share: normalisation of features, a branch that classifies.

Only keras.ops and keras.layers here, so that it runs on every Keras backend.
"""

import keras
from keras import layers, ops

from glr_keras.config.effects import PLAIN_POOLINGS
from glr_keras.models.pooling import BATCH_NORM, PACKAGE, pooling_layers

ENSEMBLE = ("root", "attentive", "bilinear")  # of "ensemble" pooling, a classifier on each


@keras.saving.register_keras_serializable(PACKAGE)
class Ensemble(layers.Layer):
    """Several classifiers side by side: the mean of their logits.

    In training it returns each classifier's logits, for a loss of its own. A loss of the mean would
    make one classifier of all that is pooled, and those are worse (docs/results.md).

    Args:
        members: keras.Sequential models from features to logits `(batch, landmarks)`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`.

    Returns:
        Logits `(batch, landmarks)`; in training `(batch, members, landmarks)`, see `mean_logits`.
    """

    def __init__(self, members, **kwargs):
        super().__init__(**kwargs)
        self.members = list(members)

    def build(self, input_shape):
        for member in self.members:
            member.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        each = ops.stack([member(inputs, training=training) for member in self.members], axis=1)
        return each if training else mean_logits(each)


def mean_logits(logits):
    """Returns logits `(batch, landmarks)` from those, or from `(batch, members, landmarks)`."""
    return ops.mean(logits, axis=1) if len(logits.shape) == 3 else logits


def feature_normalization(normalize: bool) -> layers.Layer:
    """Batch norm that gives each channel of the features mean 0 and variance 1, or nothing.

    Without scale and shift: the next layer has its own, and the gradient with respect to the
    features, which only these would need, takes half of a step through a 4096-unit layer.
    """
    if normalize:
        return layers.BatchNormalization(
            center=False, scale=False, **BATCH_NORM, name="normalization"
        )
    return layers.Identity(name="normalization")


def classifier(
    num_landmarks: int,
    head_units: tuple[int, ...],
    dropout: float,
    pooling: str,
    seed: int,
    name: str = "perception_branch",
) -> keras.Layer:
    """Makes a branch from features `(batch, h, w, channels)` to logits `(batch, num_landmarks)`.

    Args:
        num_landmarks: Int, number of classes.
        head_units: Units of the hidden layers, each with ReLU; none for a linear branch.
        dropout: Float in [0, 1), fraction dropped of each hidden layer's units; of the pooled
            features where there is no hidden layer and they are not flattened.
        pooling: See `pooling_layers`; or "ensemble", an `Ensemble` of `ENSEMBLE`, which returns
            other logits in training.
        seed: Int, of the dropout masks.
    """
    if pooling == "ensemble":
        members = [
            classifier(
                num_landmarks,
                head_units,
                dropout,
                one,
                seed + number * (len(head_units) + 1),
                name=one,
            )
            for number, one in enumerate(ENSEMBLE)
        ]
        return Ensemble(members, name=name)
    stack = pooling_layers(pooling)
    if not head_units and pooling not in PLAIN_POOLINGS:
        stack.append(layers.Dropout(dropout, seed=seed))
    for depth, units in enumerate(head_units):
        stack.append(layers.Dense(units, activation="relu"))
        stack.append(layers.Dropout(dropout, seed=seed + depth))
    # Without hidden layers this is a logistic regression, which is better started at nothing: from
    # random weights on a thousand channels, ten epochs leave it two points behind.
    start = "glorot_uniform" if head_units else "zeros"
    stack.append(layers.Dense(num_landmarks, kernel_initializer=start))
    return keras.Sequential(stack, name=name)
