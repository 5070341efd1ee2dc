"""Recognizer: a frozen backbone and a head on it, photos in, logits out."""

import dataclasses

import keras

from glr_keras.config import FitConfig
from glr_keras.models.answer import AnswerMetrics
from glr_keras.models.backbones import build_networks
from glr_keras.models.finetuned import FineTunedHead, join_networks
from glr_keras.models.heads import build_head
from glr_keras.models.keras_settings import standard_settings
from glr_keras.models.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class Recognizer(AnswerMetrics, keras.Model):
    """A frozen backbone and a head on it: photos in, the head's dict out.

    `probabilities(photos)` is its answer, float32 `(batch, landmarks)`: of an ABN, both branches
    together, unless its head was made to answer otherwise.

    Args:
        backbone: Model from photos to features (see `backbones.build_backbone`).
        head: One of `heads.HEADS`.
        landmarks: Names of the landmarks in label order.
        framing: What it sees of a photo, "whole" or "center": see `data.views.eval_view`.

    Call arguments:
        photos: Tensor `(batch, image_size, image_size, 3)`, RGB in [0, 255].
    """

    def __init__(self, backbone, head, landmarks, framing="whole", **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.head = head
        self.landmarks = list(landmarks)
        self.framing = framing

    @property
    def image_size(self):
        """Side of the square that it sees, in pixels."""
        return self.backbone.input_shape[1]

    @property
    def branches(self):
        return self.head.branches

    @property
    def answer(self):
        return self.head.answer

    @property
    def classifiers(self):
        return self.head.classifiers

    @property
    def num_landmarks(self):
        return self.head.num_landmarks

    def joined(self) -> "Recognizer":
        """Returns a recogniser whose backbone ends with the trunk that its head has learned with.

        Weights are shared, answers the same, and the trunk no longer learns; without a
        `FineTunedHead` it is this one.
        """
        if not isinstance(self.head, FineTunedHead):
            return self
        backbone = join_networks(self.backbone, self.head.trunk)
        joined = Recognizer(backbone, self.head.inner, self.landmarks, self.framing)
        joined.build(backbone.input_shape)
        return joined

    def call(self, photos, training=None):
        return self.head(self.backbone(photos, training=False), training=training)

    def build(self, input_shape):
        if not self.head.built:
            self.head.build(self.backbone.compute_output_shape(input_shape))
        self.built = True

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
            "landmarks": self.landmarks,
            "framing": self.framing,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("backbone", "head")
        }
        # Models saved before this setting existed saw the centre.
        return cls(**parts, **{"framing": "center", **config})


def build_model(config: FitConfig, num_landmarks: int) -> Recognizer:
    """Builds an untrained recogniser: a frozen backbone with its weights, and a new head.

    With `config.finetune_after` the head is a `FineTunedHead`, whose trunk learns with it; after
    training, `joined` makes a recogniser like any other of it.

    For training loops of your own; `models.compile_model` gives its head the losses. Landmarks are
    named by their labels until `model.landmarks` is set.

    Args:
        config: FitConfig; its settings of backbone and head, and its seed. The precision "auto"
            is float32 here.
        num_landmarks: Int, number of classes.

    Returns:
        Recognizer from photos `(batch, image_size, image_size, 3)`, RGB in [0, 255], to a dict of
        logits `(batch, num_landmarks)`.

    Raises:
        UserError: weights that can't be had or don't fit, an unknown `cut_layer`.
    """
    if config.precision == "auto":  # a library call measures nothing
        config = dataclasses.replace(config, precision="float32")
    with standard_settings():
        backbone, trunk = build_networks(config)
        head = build_head(config, num_landmarks, backbone.output_shape[1:], trunk)
        names = [str(label) for label in range(num_landmarks)]
        recognizer = Recognizer(backbone, head, names, config.framing)
        recognizer.build(backbone.input_shape)
    return recognizer
