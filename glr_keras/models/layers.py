"""Layers that heads share: normalisation and pooling of features, a branch that classifies.

Only keras.ops and keras.layers here, so that it runs on every Keras backend.
"""

import keras
from keras import layers, ops

PACKAGE = "glr_keras"
# PyTorch's defaults, as in the report. With Keras' momentum of .99 the averages that inference uses
# would lag behind for 500 steps; a run of three epochs is often shorter.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}
POOLINGS = ("flatten", "average", "root")


@keras.saving.register_keras_serializable(PACKAGE)
class SignedRoot(layers.Layer):
    """Square root of each value's size, with its sign: `sign(x) * sqrt(|x|)`.

    Averages of ReLU features have long tails, and a few channels outweigh all others; their roots
    do not. Also known as power normalisation.

    Reference:
    - [Perronnin et al., 2010](https://doi.org/10.1007/978-3-642-15561-1_11), section 3.1
    """

    def call(self, inputs):
        # The small number keeps the gradient at 0 finite.
        return ops.sign(inputs) * ops.sqrt(ops.abs(inputs) + 1e-6)

    def compute_output_shape(self, input_shape):
        return input_shape


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


def pooling_layers(pooling: str) -> list[layers.Layer]:
    """Makes the layers that turn feature maps `(batch, h, w, channels)` into one vector per photo.

    Args:
        pooling: "flatten"; "average" over space; or "root", the square root of these averages and
            batch norm on them.
    """
    if pooling == "flatten":
        return [layers.Flatten()]
    if pooling == "average":
        return [layers.GlobalAveragePooling2D()]
    if pooling != "root":
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    normalization = layers.BatchNormalization(center=False, scale=False, **BATCH_NORM)
    return [layers.GlobalAveragePooling2D(), SignedRoot(), normalization]


def classifier(
    num_landmarks: int,
    head_units: tuple[int, ...],
    dropout: float,
    pooling: str,
    seed: int,
    name: str = "perception_branch",
) -> keras.Sequential:
    """Makes a branch from features `(batch, h, w, channels)` to logits `(batch, num_landmarks)`.

    Args:
        num_landmarks: Int, number of classes.
        head_units: Units of the hidden layers, each with ReLU; none for a linear branch.
        dropout: Float in [0, 1), fraction dropped of each hidden layer's units; of the pooled
            features where there is no hidden layer and they are not flattened.
        pooling: See `pooling_layers`.
        seed: Int, of the dropout masks.
    """
    stack = pooling_layers(pooling)
    if not head_units and pooling == "root":
        stack.append(layers.Dropout(dropout, seed=seed))
    for depth, units in enumerate(head_units):
        stack.append(layers.Dense(units, activation="relu"))
        stack.append(layers.Dropout(dropout, seed=seed + depth))
    # Without hidden layers this is a logistic regression, which is better started at nothing: from
    # random weights on a thousand channels, ten epochs leave it two points behind.
    start = "glorot_uniform" if head_units else "zeros"
    stack.append(layers.Dense(num_landmarks, kernel_initializer=start))
    return keras.Sequential(stack, name=name)
