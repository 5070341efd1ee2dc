"""Pooling: feature maps -> one vector per photo.

Only keras.ops and keras.layers here, so that it runs on every Keras backend.
"""

import keras
import numpy as np
from keras import layers, ops

PACKAGE = "glr_keras"
# PyTorch's defaults, as in the report. With Keras' momentum of .99 the averages that inference uses
# would lag behind for 500 steps; a run of three epochs is often shorter.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}
POOLINGS = ("flatten", "average", "root", "attentive", "bilinear")
# Twice and half as many were measured to be no better (docs/results.md).
QUERIES, ATTENTIVE_UNITS = 8, 512
BILINEAR_CHANNELS = 64


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


@keras.saving.register_keras_serializable(PACKAGE)
class AttentivePooling(layers.Layer):
    """Averages over space, weighted by where each of a few learned queries finds what it seeks.

    A query scores each cell by a linear function of its channels; the softmax of its scores over
    all cells weights their average, which a linear layer of its own reduces to `units / queries`
    values. All queries' values stand side by side.

    Args:
        queries: Int.
        units: Int, a multiple of `queries`: values per photo.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, units)`.

    Reference:
    - [Psomas et al., 2025](https://arxiv.org/abs/2506.10178), efficient probing
    """

    def __init__(self, queries=QUERIES, units=ATTENTIVE_UNITS, **kwargs):
        super().__init__(**kwargs)
        self.queries, self.units = queries, units
        self.scores = layers.Dense(queries, use_bias=False)
        self.values = layers.EinsumDense("bqc,qcd->bqd", (queries, units // queries))

    def build(self, input_shape):
        self.scores.build(input_shape)
        self.values.build((input_shape[0], self.queries, input_shape[-1]))
        self.built = True

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        cells = ops.reshape(inputs, (-1, height * width, channels))
        if height * width == 1:  # Keras warns of a softmax of one
            averages = ops.repeat(cells, self.queries, axis=1)
        else:
            weights = ops.softmax(self.scores(cells), axis=1)
            averages = ops.matmul(ops.transpose(weights, (0, 2, 1)), cells)
        return ops.reshape(self.values(averages), (-1, self.units))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {**super().get_config(), "queries": self.queries, "units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class BilinearPooling(layers.Layer):
    """Averages products of two channels over space, after a linear layer that leaves a few of them.

    Args:
        channels: Int, how many it leaves.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, channels * (channels + 1) / 2)`, each pair once.

    Reference:
    - [Lin et al., 2015](https://arxiv.org/abs/1504.07889)
    """

    def __init__(self, channels=BILINEAR_CHANNELS, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.reduction = layers.Dense(channels)

    def build(self, input_shape):
        self.reduction.build(input_shape)
        self.built = True

    def call(self, inputs):
        _, height, width, _ = inputs.shape
        cells = ops.reshape(self.reduction(inputs), (-1, height * width, self.channels))
        products = ops.matmul(ops.transpose(cells, (0, 2, 1)), cells) / (height * width)
        rows, columns = np.triu_indices(self.channels)
        flat = ops.reshape(products, (-1, self.channels**2))
        return ops.take(flat, rows * self.channels + columns, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.channels * (self.channels + 1) // 2)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def pooling_layers(pooling: str) -> list[layers.Layer]:
    """Makes the layers that turn feature maps `(batch, h, w, channels)` into one vector per photo.

    Args:
        pooling: "flatten"; "average" over space; "root", the square root of these averages;
            "attentive", see `AttentivePooling`; or "bilinear", the square root of
            `BilinearPooling`. Batch norm comes behind the last three.
    """
    if pooling == "flatten":
        return [layers.Flatten()]
    if pooling == "average":
        return [layers.GlobalAveragePooling2D()]
    normalization = layers.BatchNormalization(center=False, scale=False, **BATCH_NORM)
    if pooling == "root":
        return [layers.GlobalAveragePooling2D(), SignedRoot(), normalization]
    if pooling == "attentive":
        return [AttentivePooling(), normalization]
    if pooling == "bilinear":
        return [BilinearPooling(), SignedRoot(), normalization]
    raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
