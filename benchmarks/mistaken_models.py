"""An ABN with the notebooks' mistakes 1 to 5 and 7, for benchmarks/mistakes.py."""

import keras
import numpy as np
from keras import layers, ops
from mistaken_features import untrained_backbone

from glr_keras.models.abn import ABN
from glr_keras.models.answer import answer_log_probabilities
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import Recognizer
from glr_keras.models.seeding import seeded_layers
from glr_keras.training.batches import LivePhotos, StoredFeatures


class MistakenABN(ABN):
    """The report's ABN, with those of the mistakes 1 to 4 that `mistakes` names.

    Args:
        mistakes: Set of ints, numbers of docs/results.md.
        settings: Of the ABN.
    """

    def __init__(self, mistakes, num_landmarks, **settings):
        super().__init__(num_landmarks, **settings)
        self.mistakes = frozenset(mistakes)

    def build(self, input_shape):
        if 4 in self.mistakes:
            self.scores = _flat_scores(self.num_landmarks, input_shape[1:3])
        super().build(input_shape)

    def explain(self, features, labels=None, training=False):
        normalized = self.normalization(features, training=training)
        activations = self.activations(normalized, training=training)
        attention_map = self.map(activations, training=training)
        weights = attention_map if 3 in self.mistakes else 1 + attention_map
        outputs = {
            "attention": self.scores(activations),
            "perception": self.perceive(normalized * weights, training=training),
        }
        if 1 in self.mistakes:
            # The loss takes these for logits. From ops.softmax Keras would take its input instead.
            outputs = {name: ops.exp(ops.log_softmax(one)) for name, one in outputs.items()}
        return {**outputs, "attention_map": attention_map}


def _flat_scores(num_landmarks, size):
    """Average pooling over a window of the grid's size, at stride 1 with zeros around, and Dense.

    As PyTorch's `AvgPool2d(7, stride=1, padding=3)`: as many values as before.
    """
    margins = [((side - 1) // 2, side - 1 - (side - 1) // 2) for side in size]
    return keras.Sequential(
        [
            layers.Conv2D(num_landmarks, 1),
            layers.ZeroPadding2D(margins),
            layers.AveragePooling2D(size, strides=1),
            layers.Flatten(),
            layers.Dense(num_landmarks),
        ],
        name="scores",
    )


class OneLoss:
    """Mistake 2, before a Keras model: one cross-entropy of the weighted sum of both outputs."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        weighted = add_outputs(y_pred, self.output_weights)
        losses = keras.losses.sparse_categorical_crossentropy
        return ops.mean(losses(y["perception"], weighted, from_logits=True))


class OneLossABN(OneLoss, MistakenABN):
    """`MistakenABN` with mistake 2."""


class TrainedRecognizer(Recognizer):
    """A `Recognizer` all of whose weights learn, and whose batch norms take the batch's own."""

    def call(self, photos, training=None):
        return self.head(self.backbone(photos, training=training), training=training)


class OneLossRecognizer(OneLoss, TrainedRecognizer):
    """`TrainedRecognizer` with mistake 2."""


class ForgottenMomentum(keras.callbacks.Callback):
    """Mistake 7: each epoch begins with the momentum at 0, as after a restart without it."""

    def on_epoch_begin(self, epoch, logs=None):
        for momentum in self.model.optimizer.momentums:
            momentum.assign(ops.zeros_like(momentum))


def add_outputs(outputs: dict, weights: dict):
    """Returns the sum of the branches' outputs, each times its weight."""
    return sum(weights[name] * outputs[name] for name in weights)


def build_mistaken(config, num_landmarks, shape, mistakes):
    """Builds the head; one without mistakes begins with the weights of the product's.

    Args:
        config: FitConfig, of an ABN.
        num_landmarks: Int.
        shape: (height, width, channels) of features.
        mistakes: Set of ints.
    """
    settings = {name: getattr(config, name) for name in ABN.settings_of_config}
    with seeded_layers(config.seed):
        head_class = OneLossABN if 2 in mistakes else MistakenABN
        head = head_class(mistakes, num_landmarks=num_landmarks, **settings)
        head.build((None, *shape))
    return head


def train_stored(views, config, num_landmarks, mistakes):
    """Trains a head on features of photos; returns what it says, see `_fit_and_ask`.

    Args:
        views: Split -> `FeatureViews`.
        config, num_landmarks, mistakes: As in `build_mistaken`.
    """
    head = build_mistaken(config, num_landmarks, views["train"].shape, mistakes)
    source = StoredFeatures(views, head.branches, num_landmarks, config)
    return _fit_and_ask(head, source, config, mistakes)


def train_live(records, config, mistakes):
    """Trains all weights of an untrained backbone and of a head on it, on photos.

    Args:
        records: From `data.open_records`.
        config, mistakes: As in `build_mistaken`.
    """
    names = records.landmarks
    backbone = untrained_backbone(config, is_normalized=6 not in mistakes)
    head = build_mistaken(config, len(names), backbone.output_shape[1:], mistakes)
    backbone.trainable = True
    recognizer_class = OneLossRecognizer if 2 in mistakes else TrainedRecognizer
    model = recognizer_class(backbone, head, names, config.framing)
    model.build(backbone.input_shape)
    source = LivePhotos(records, head.branches, len(names), config)
    return _fit_and_ask(model, source, config, mistakes)


def _fit_and_ask(model, source, config, mistakes):
    """Trains to the last epoch; asks both branches, and both together.

    Both together are the mean of the branches' probabilities; with mistake 2 the sum of outputs
    that was trained.

    Returns:
        Dict of "photos" (split -> ids), "correct" (branch -> split -> list of bools; the third
        branch is "both") and "loss" (of the last epoch).
    """
    model.output_weights = {"attention": config.alpha, "perception": config.beta}
    compile_model(model, config, source.steps_per_epoch)
    model.optimizer.build(model.trainable_variables)
    history = model.fit(
        source.train_batches(0),
        shuffle=False,
        epochs=config.epochs,
        steps_per_epoch=source.steps_per_epoch,
        callbacks=[ForgottenMomentum()] if 7 in mistakes else [],
        verbose=2,
    )
    correct = {name: {} for name in ("attention", "perception", "both")}
    for split in ("validation", "test"):
        outputs, labels = _ask(model, source, split)
        if 2 in mistakes:
            outputs["both"] = add_outputs(outputs, model.output_weights)
        else:
            outputs["both"] = np.asarray(answer_log_probabilities(outputs, "combined"))
        for name, values in outputs.items():
            correct[name][split] = (values.argmax(1) == labels).tolist()
    photos = {split: list(source.index(split)[1]) for split in ("validation", "test")}
    return {"photos": photos, "correct": correct, "loss": history.history["loss"][-1]}


def _ask(model, source, split):
    outputs, labels = [], []
    for inputs, targets in source.eval_batches(split).as_numpy_iterator():
        outputs.append(model.predict_on_batch(inputs))
        labels.append(targets["perception"])
    joined = {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]}
    return joined, np.concatenate(labels)
