"""Heads without attention: DropoutHead, the report's first model, and LinearHead."""

import keras
from keras import ops

from glr_keras.models.answer import AnswerMetrics
from glr_keras.models.layers import PACKAGE, classifier, feature_normalization
from glr_keras.models.trunk import as_trunk, trunk_config


@keras.saving.register_keras_serializable(PACKAGE)
class DropoutHead(AnswerMetrics, keras.Model):
    """Fully connected layers with dropout: the report's first model.

    Pooling, then Dense, ReLU, Dropout for each of `head_units`, then Dense to the landmarks.

    Args:
        num_landmarks: Int, number of classes.
        head_units: Units of the hidden layers; none for a linear head.
        dropout: Float in [0, 1), fraction of hidden units dropped in training.
        pooling: See `layers.classifier`.
        normalize: Bool, whether batch norm on the features comes first.
        seed: Int, of the dropout masks.
        trunk: Model that stands in front of all that, see `backbones.build_networks`, or None.

    Call arguments:
        features: Tensor `(batch, height, width, channels)`.

    Returns:
        Dict: "perception" `(batch, num_landmarks)`, logits (in training with "ensemble" pooling,
        those of an `Ensemble`).
    """

    branches = ("perception",)
    answer = "perception"
    solver = "gradient descent"
    map_name = "Grad-CAM"
    settings_of_config: tuple[str, ...] = ("head_units", "dropout", "pooling", "normalize", "seed")

    def __init__(
        self,
        num_landmarks,
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
        self.settings = {
            "num_landmarks": num_landmarks,
            "head_units": list(head_units),
            "dropout": dropout,
            "pooling": pooling,
            "seed": seed,
            "normalize": normalize,
        }
        self.trunk = as_trunk(trunk)
        self.normalization = feature_normalization(normalize)
        self.branch = classifier(num_landmarks, head_units, dropout, pooling, seed)

    def call(self, features, training=None):
        if self.trunk is not None:
            features = self.trunk(features, training=False)
        features = self.normalization(features, training=training)
        return {"perception": self.branch(features, training=training)}

    def build(self, input_shape):
        if self.trunk is not None:
            input_shape = self.trunk.compute_output_shape(input_shape)
        self.normalization.build(input_shape)
        self.branch.build(input_shape)
        self.built = True

    def get_config(self):
        return {**super().get_config(), **self.settings, **trunk_config(self.trunk)}


@keras.saving.register_keras_serializable(PACKAGE)
class LinearHead(DropoutHead):
    """A `DropoutHead` without hidden layers: pooling, dropout of what it gives, one Dense."""

    settings_of_config: tuple[str, ...] = ("dropout", "pooling", "normalize", "seed")

    def __init__(self, num_landmarks, head_units=(), **kwargs):
        if head_units:
            raise ValueError(f"LinearHead has no hidden layers, got head_units {head_units}")
        super().__init__(num_landmarks, head_units=(), **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class LogisticHead(LinearHead):
    """Logistic regression on pooled features: a `LinearHead` that L-BFGS fits to convergence.

    See `training.logistic`. It is the simplest way there is, which other heads are compared with.
    """

    settings_of_config = ("pooling", "seed")
    solver = "l-bfgs"

    def pool(self, features):
        """Returns the features that are classified, float32 array `(batch, channels)`.

        Args:
            features: Array `(batch, height, width, channels)`.
        """
        features = ops.cast(features, "float32")
        for layer in self.branch.layers[:-1]:
            features = layer(features, training=False)
        return ops.convert_to_numpy(features)
