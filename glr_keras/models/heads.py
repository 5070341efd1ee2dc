"""What learns: DropoutHead and ABN on features, and Recognizer, which puts a backbone before them.

Only keras.ops and keras.layers here, so that it runs on every Keras backend.
"""

import keras
from keras import layers

from glr_keras.config import FitConfig

PACKAGE = "glr_keras"
# PyTorch's defaults, as in the report. With Keras' momentum of .99 the averages that inference uses
# would lag behind for 500 steps; a run of three epochs is often shorter.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


@keras.saving.register_keras_serializable(PACKAGE)
class DropoutHead(keras.Model):
    """Fully connected layers with dropout: the report's first model.

    Flatten (or the average over space), then Dense, ReLU, Dropout for each of `head_units`, then
    Dense to the landmarks.

    Args:
        num_landmarks: Int, number of classes.
        head_units: Units of the hidden layers; none for a linear head.
        dropout: Float in [0, 1), share of hidden units dropped in training.
        pooling: "flatten" or "average".
        normalize: Bool, whether batch norm on the features comes first.
        seed: Int, of the dropout masks.

    Call arguments:
        features: Tensor `(batch, height, width, channels)`.

    Returns:
        Dict: "perception" `(batch, num_landmarks)`, logits.
    """

    output_names_of_loss = ("perception",)

    def __init__(
        self,
        num_landmarks,
        head_units=(4096, 4096),
        dropout=0.5,
        pooling="flatten",
        normalize=False,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        branch = {
            "num_landmarks": num_landmarks,
            "head_units": list(head_units),
            "dropout": dropout,
            "pooling": pooling,
            "seed": seed,
        }
        self.num_landmarks = num_landmarks
        self.settings = {**branch, "normalize": normalize}
        self.normalization = feature_normalization(normalize)
        self.branch = perception_branch(**branch)

    def call(self, features, training=None):
        features = self.normalization(features, training=training)
        return {"perception": self.branch(features, training=training)}

    def build(self, input_shape):
        self.normalization.build(input_shape)
        self.branch.build(input_shape)
        self.built = True

    def get_config(self):
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(PACKAGE)
class ABN(keras.Model):
    """Attention Branch Network on the features of a frozen backbone.

    The attention branch scores the landmarks at each position, `a`; its scores averaged over space
    are its own prediction, and one more 1x1 convolution makes a map M of where it looked. The
    perception branch predicts from the features times (1 + M). Both predictions have a loss.

    Args:
        num_landmarks: Int, number of classes.
        attention_channels: Int, channels of the attention branch's 3x3 convolutions.
        normalize: Bool, whether batch norm on the features comes before both branches.
        head_units, dropout, pooling, seed: Of the perception branch, see `DropoutHead`.

    Call arguments:
        features: Tensor `(batch, height, width, channels)`.

    Returns:
        Dict: "attention" and "perception", both `(batch, num_landmarks)`, logits. `explain` adds
        "attention_map" `(batch, height, width, 1)` in (0, 1).

    Reference:
    - [Fukui et al., 2019](https://arxiv.org/abs/1812.10025), figure 3 and equations 1 to 4
    """

    output_names_of_loss = ("attention", "perception")

    def __init__(
        self,
        num_landmarks,
        attention_channels=512,
        head_units=(4096, 4096),
        dropout=0.5,
        pooling="flatten",
        normalize=False,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        branch = {
            "num_landmarks": num_landmarks,
            "head_units": list(head_units),
            "dropout": dropout,
            "pooling": pooling,
            "seed": seed,
        }
        self.num_landmarks = num_landmarks
        self.settings = {
            **branch,
            "normalize": normalize,
            "attention_channels": attention_channels,
        }
        self.normalization = feature_normalization(normalize)
        self.activations = keras.Sequential(
            [
                layers.Conv2D(attention_channels, 3, padding="same", activation="relu"),
                layers.Conv2D(attention_channels, 3, padding="same", activation="relu"),
                layers.BatchNormalization(**BATCH_NORM),
                layers.Conv2D(num_landmarks, 1, activation="relu"),
            ],
            name="activations",
        )
        # No dense layer behind the average: each channel stays a class activation map.
        self.scores = keras.Sequential(
            [layers.Conv2D(num_landmarks, 1), layers.GlobalAveragePooling2D()], name="scores"
        )
        self.map = keras.Sequential(
            [
                layers.Conv2D(1, 1),
                layers.BatchNormalization(**BATCH_NORM),
                layers.Activation("sigmoid"),
            ],
            name="map",
        )
        self.branch = perception_branch(**branch)

    def call(self, features, training=None):
        outputs = self.explain(features, training=training)
        return {name: outputs[name] for name in self.output_names_of_loss}

    def explain(self, features, training=False):
        """Returns what a call returns, and "attention_map", in one pass."""
        features = self.normalization(features, training=training)
        activations = self.activations(features, training=training)
        attention_map = self.map(activations, training=training)
        return {
            "attention": self.scores(activations),
            "perception": self.branch(features * (1 + attention_map), training=training),
            "attention_map": attention_map,
        }

    def build(self, input_shape):
        self.normalization.build(input_shape)
        self.activations.build(input_shape)
        maps = self.activations.compute_output_shape(input_shape)
        self.scores.build(maps)
        self.map.build(maps)
        self.branch.build(input_shape)
        self.built = True

    def get_config(self):
        return {**super().get_config(), **self.settings}


def feature_normalization(normalize):
    """Batch norm that gives each channel of the features mean 0 and deviation 1, or nothing.

    Without scale and shift: the next layer has its own, and the gradient with respect to the
    features, which only these would need, takes half of a step through a 4096-unit layer.
    """
    if normalize:
        return layers.BatchNormalization(
            center=False, scale=False, **BATCH_NORM, name="normalization"
        )
    return layers.Identity(name="normalization")


def perception_branch(num_landmarks, head_units, dropout, pooling, seed):
    """Features -> hidden layers with dropout -> logits, as a `keras.Sequential`."""
    pool = layers.Flatten() if pooling == "flatten" else layers.GlobalAveragePooling2D()
    stack = [pool]
    for depth, units in enumerate(head_units):
        stack.append(layers.Dense(units, activation="relu"))
        stack.append(layers.Dropout(dropout, seed=seed + depth))
    return keras.Sequential([*stack, layers.Dense(num_landmarks)], name="perception_branch")


def build_head(config: FitConfig, num_landmarks: int, feature_shape: tuple[int, int, int]):
    """Builds the head that `config` names, with weights drawn from its seed.

    Args:
        config: FitConfig.
        num_landmarks: Int, number of classes.
        feature_shape: (height, width, channels) of one photo's features.
    """
    keras.utils.set_random_seed(config.seed)
    settings = {
        "num_landmarks": num_landmarks,
        "head_units": config.head_units,
        "dropout": config.dropout,
        "pooling": config.pooling,
        "normalize": config.normalize,
        "seed": config.seed,
    }
    if config.head == "abn":
        head = ABN(attention_channels=config.attention_channels, **settings)
    else:
        head = DropoutHead(**settings)
    head.build((None, *feature_shape))
    return head
