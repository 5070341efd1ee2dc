"""The answer of a head with one branch or two, and how it is measured while a head trains."""

import math
from types import SimpleNamespace

import keras
from keras import ops

from glr_keras.models.layers import mean_logits

TOP = 5


def answer_log_probabilities(outputs: dict, answer: str, classifiers: int = 1):
    """Returns log probabilities of the answer, float32 tensor `(batch, landmarks)`.

    Args:
        outputs: Dict of logits `(batch, landmarks)` by branch: "perception" and perhaps
            "attention".
        answer: "combined": the mean of the branches' probabilities, which of a head with one branch
            are its own; or the name of a branch.
        classifiers: Int, of the perception branch, which counts that many times in that mean.
    """
    weights = {"attention": 1, "perception": classifiers} if answer == "combined" else {answer: 1}
    weights = {name: weight for name, weight in weights.items() if name in outputs}
    each = [
        ops.log_softmax(ops.cast(outputs[name], "float32"), axis=-1) + math.log(weight)
        for name, weight in weights.items()
    ]
    return ops.logsumexp(ops.stack(each), axis=0) - math.log(sum(weights.values()))


class AnswerMetrics:
    """Gives a Keras model of branches an answer, and measures both while the model trains.

    Reported are "accuracy", "top5" (of as many landmarks as there are, if fewer) and
    "cross_entropy" of the answer, and "accuracy", "top5" and "loss" of each branch, prefixed with
    its name. Cross-entropies are in nats, not smoothed and not weighted, and of mixed photos those
    of the label that has the larger part, so that they can be compared between heads; "loss"
    without a prefix is what is minimised.

    The model has `branches`, `answer` and `num_landmarks`.
    """

    classifiers = 1  # of the perception branch

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        measured = self._make_metrics("", "cross_entropy")
        for branch in self.branches:
            measured += self._make_metrics(f"{branch}_", "loss")
        # In a namespace, or Keras would take them for a part of the model, and save them with it.
        self._measured = SimpleNamespace(metrics=measured)

    @property
    def metrics(self):
        return [*super().metrics, *self._measured.metrics] if self.compiled else super().metrics

    def _make_metrics(self, prefix, loss):
        metrics = keras.metrics
        top = min(TOP, self.num_landmarks)
        return [
            metrics.SparseCategoricalAccuracy(name=f"{prefix}accuracy"),
            metrics.SparseTopKCategoricalAccuracy(k=top, name=f"{prefix}top{TOP}"),
            metrics.SparseCategoricalCrossentropy(from_logits=True, name=f"{prefix}{loss}"),
        ]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        outputs = {branch: mean_logits(y_pred[branch]) for branch in self.branches}
        logits = [self.answer_log_probabilities(outputs), *outputs.values()]
        labels = y[self.branches[0]]
        if len(labels.shape) == 2:  # of mixed photos
            labels = ops.argmax(labels, axis=-1)
        for number, metric in enumerate(self._measured.metrics):
            metric.update_state(labels, logits[number // 3])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def answer_log_probabilities(self, outputs):
        """Returns those of the answer, float32 tensor `(batch, landmarks)`, from its outputs."""
        return answer_log_probabilities(outputs, self.answer, self.classifiers)

    def probabilities(self, inputs):
        """Returns the answer's probabilities, float32 tensor `(batch, landmarks)`."""
        return ops.exp(self.answer_log_probabilities(self(inputs, training=False)))
