"""ABN: an Attention Branch Network on the features of a frozen backbone."""

import keras
from keras import layers, ops

from glr_keras.models.answer import AnswerMetrics
from glr_keras.models.layers import (
    BATCH_NORM,
    PACKAGE,
    Ensemble,
    classifier,
    feature_normalization,
)
from glr_keras.models.trunk import as_trunk, trunk_config


@keras.saving.register_keras_serializable(PACKAGE)
class ABN(AnswerMetrics, keras.Model):
    """Attention Branch Network on the features of a frozen backbone.

    The attention branch scores the landmarks at each position; its scores averaged over space are
    its own prediction, and a map M shows where it looked. The perception branch predicts from the
    features times (1 + M). Both predictions have a loss, and both together are the answer.

    Args:
        num_landmarks: Int, number of classes.
        attention_channels: Int, channels of the attention branch's two hidden convolutions.
        attention_kernel: Int, side of the first one's kernel. With 1 it reduces the backbone's many
            channels at a ninth of the weights and time of the paper's 3; the second one has 3.
        attention_map: "class-specific": M is made of the landmarks' scores at each position, each
            in proportion to what the branch predicts; or "class-agnostic", the paper's: one more
            1x1 convolution makes it, the same for all landmarks.
        attention_start: Of that convolution. "constant": it starts as 1 / num_landmarks, so that
            the map starts as the sum of the landmarks' activations; or "random".
        answer: "combined" (mean of both branches' probabilities, where the perception branch
            counts as often as it has classifiers), "attention" or "perception".
        normalize: Bool, whether batch norm on the features comes before both branches.
        trunk: Model that stands in front of the perception branch, see `backbones.build_networks`;
            it sees features without batch norm, as it did in its network, and batch norm comes
            behind it. None for none.
        head_units, dropout, pooling, seed: Of the perception branch, see `DropoutHead`.

    Call arguments:
        features: Tensor `(batch, height, width, channels)`.

    Returns:
        Dict: "attention" and "perception", both `(batch, num_landmarks)`, logits (in training with
        "ensemble" pooling, those of an `Ensemble`). `explain` adds
        "attention_map" `(batch, height, width, 1)` in (0, 1).

    Reference:
    - [Fukui et al., 2019](https://arxiv.org/abs/1812.10025), figure 3 and equations 1 to 4; the
      class-specific map is this project's
    """

    branches = ("attention", "perception")
    solver = "gradient descent"
    map_name = "attention map"
    settings_of_config = (
        "attention_channels",
        "attention_kernel",
        "attention_map",
        "attention_start",
        "answer",
        "head_units",
        "dropout",
        "pooling",
        "normalize",
        "seed",
    )

    def __init__(
        self,
        num_landmarks,
        attention_channels=512,
        attention_kernel=3,
        attention_map="class-specific",
        attention_start="constant",
        answer="combined",
        head_units=(4096, 4096),
        dropout=0.5,
        pooling="flatten",
        normalize=False,
        seed=0,
        trunk=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_landmarks = num_landmarks
        self.answer = answer
        self.settings = {
            "num_landmarks": num_landmarks,
            "head_units": list(head_units),
            "dropout": dropout,
            "pooling": pooling,
            "seed": seed,
            "normalize": normalize,
            "attention_channels": attention_channels,
            "attention_kernel": attention_kernel,
            "attention_map": attention_map,
            "attention_start": attention_start,
            "answer": answer,
        }
        self.normalization = feature_normalization(normalize)
        hidden = {"padding": "same", "activation": "relu"}
        self.activations = keras.Sequential(
            [
                layers.Conv2D(attention_channels, attention_kernel, **hidden),
                layers.Conv2D(attention_channels, 3, **hidden),
                layers.BatchNormalization(**BATCH_NORM),
                layers.Conv2D(num_landmarks, 1, activation="relu"),
            ],
            name="activations",
        )
        # No dense layer behind the average: each channel stays a class activation map.
        self.scores = keras.Sequential(
            [layers.Conv2D(num_landmarks, 1), layers.GlobalAveragePooling2D()], name="scores"
        )
        start = {
            "constant": keras.initializers.Constant(1 / num_landmarks),
            "random": "glorot_uniform",
        }[attention_start]
        self.is_class_specific = attention_map == "class-specific"
        one_map = [] if self.is_class_specific else [layers.Conv2D(1, 1, kernel_initializer=start)]
        to_unit_range = [layers.BatchNormalization(**BATCH_NORM), layers.Activation("sigmoid")]
        self.map = keras.Sequential([*one_map, *to_unit_range], name="map")
        self.trunk = as_trunk(trunk)
        if self.trunk is not None:
            self.trunk_normalization = feature_normalization(normalize)
        self.branch = classifier(num_landmarks, head_units, dropout, pooling, seed)
        if isinstance(self.branch, Ensemble):
            self.classifiers = len(self.branch.members)

    def call(self, features, training=None):
        outputs = self.explain(features, training=training)
        return {name: outputs[name] for name in self.branches}

    def explain(self, features, labels=None, training=False):
        """Returns what a call returns, and "attention_map", in one pass.

        Args:
            features: Tensor `(batch, height, width, channels)`.
            labels: Int tensor `(batch,)`, the landmarks that a class-specific map is made of; None
                for all, in proportion to the attention branch's probabilities.
            training: Bool, whether batch norm and dropout are in training mode.
        """
        normalized = self.normalization(features, training=training)
        activations = self.activations(normalized, training=training)
        convolution, average = self.scores.layers
        class_maps = convolution(activations)
        logits = average(class_maps)
        if self.is_class_specific:
            # The prediction only selects: it is not to be changed for the sake of the map.
            weights = ops.stop_gradient(ops.softmax(logits))
            if labels is not None:
                weights = ops.one_hot(labels, self.num_landmarks, dtype=weights.dtype)
            evidence = ops.sum(weights[:, None, None] * class_maps, axis=-1, keepdims=True)
            attention_map = self.map(evidence, training=training)
        else:
            attention_map = self.map(activations, training=training)
        seen = normalized if self.trunk is None else features
        return {
            "attention": logits,
            "perception": self.perceive(seen * (1 + attention_map), training=training),
            "attention_map": attention_map,
        }

    def perceive(self, weighted, training=False):
        """Returns the perception branch's logits from features that a map has weighted.

        Args:
            weighted: Tensor `(batch, height, width, channels)`: the features times (1 + M), after
                `normalization` where there is no trunk.
        """
        if self.trunk is not None:
            weighted = self.trunk(weighted, training=False)
            weighted = self.trunk_normalization(weighted, training=training)
        return self.branch(weighted, training=training)

    def class_maps(self, features):
        """Returns where the attention branch found each landmark.

        Args:
            features: Tensor `(batch, height, width, channels)`.

        Returns:
            Tensor `(batch, height, width, num_landmarks)` of logits, whose averages over space are
            the attention branch's logits: class activation maps.

        Reference:
        - [Zhou et al., 2016](https://arxiv.org/abs/1512.04150)
        """
        features = self.normalization(features, training=False)
        return self.scores.layers[0](self.activations(features, training=False))

    def build(self, input_shape):
        self.normalization.build(input_shape)
        self.activations.build(input_shape)
        maps = self.activations.compute_output_shape(input_shape)
        self.scores.build(maps)
        self.map.build((*maps[:-1], 1) if self.is_class_specific else maps)
        if self.trunk is not None:
            input_shape = self.trunk.compute_output_shape(input_shape)
            self.trunk_normalization.build(input_shape)
        self.branch.build(input_shape)
        self.built = True

    def get_config(self):
        return {**super().get_config(), **self.settings, **trunk_config(self.trunk)}

    @classmethod
    def from_config(cls, config):
        # Models saved before these settings existed were trained, and answer, so.
        earlier = {
            "attention_map": "class-agnostic",
            "attention_start": "random",
            "answer": "perception",
        }
        return cls(**{**earlier, **config})
