"""A head that learns together with the last part of its backbone, on features of the layer before.

While it trains, that part, the trunk, stands in front of the head; what comes out is a recogniser
like any other, whose backbone ends with the trained trunk.
"""

import keras

from glr_keras.models.answer import AnswerMetrics
from glr_keras.models.layers import PACKAGE
from glr_keras.models.trunk import as_trunk, trunk_config


@keras.saving.register_keras_serializable(PACKAGE)
class FineTunedHead(AnswerMetrics, keras.Model):
    """A head behind a trunk that learns with it: features in, the head's dict out.

    Args:
        trunk: Model from features to those of the backbone's last layer, see
            `backbones.build_networks`. Always in inference mode: its batch norms don't learn.
        inner: One of `heads.HEADS`, on these.

    Call arguments:
        features: Tensor `(batch, height, width, channels)`, of the layer before the trunk.
    """

    solver = "gradient descent"

    def __init__(self, trunk, inner, **kwargs):
        super().__init__(**kwargs)
        self.trunk = as_trunk(trunk)
        self.inner = inner

    @property
    def branches(self):
        return self.inner.branches

    @property
    def answer(self):
        return self.inner.answer

    @property
    def classifiers(self):
        return self.inner.classifiers

    @property
    def num_landmarks(self):
        return self.inner.num_landmarks

    def call(self, features, training=None):
        return self.inner(self.trunk(features, training=False), training=training)

    def build(self, input_shape):
        if not self.inner.built:
            self.inner.build(self.trunk.compute_output_shape(input_shape))
        self.built = True

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), **trunk_config(self.trunk), "inner": inner}

    @classmethod
    def from_config(cls, config):
        return cls(inner=keras.saving.deserialize_keras_object(config.pop("inner")), **config)


def join_networks(front: keras.Model, trunk: keras.Model) -> keras.Model:
    """Returns one network of both that shares their weights, and freezes all of them."""
    photos = keras.Input(front.input_shape[1:], name="photos")
    backbone = keras.Model(photos, trunk(front(photos)), name=front.name)
    backbone.trainable = False
    return backbone


def front_of(backbone: keras.Model) -> keras.Model:
    """Returns the frozen front of what `join_networks` has made."""
    return next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
