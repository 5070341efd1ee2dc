"""The answer of a head with one branch or two, and how it is measured while a head trains."""

from types import SimpleNamespace

import keras
from keras import ops

TOP = 5


def answer_log_probabilities(outputs: dict, answer: str):
    """Returns log probabilities of the answer, float32 tensor `(batch, landmarks)`.

    Args:
        outputs: Dict of logits `(batch, landmarks)` by branch: "perception" and perhaps
            "attention".
        answer: "combined": the mean of the branches' probabilities, which of a head with one branch
            are its own; or the name of a branch.
    """
    branches = ("attention", "perception") if answer == "combined" else (answer,)
    logits = [ops.cast(outputs[name], "float32") for name in branches if name in outputs]
    each = [ops.log_softmax(values, axis=-1) for values in logits]
    return ops.logsumexp(ops.stack(each), axis=0) - ops.log(float(len(each)))


class AnswerMetrics:
    """Gives a Keras model of branches an answer, and measures both while the model trains.

    Reported are "accuracy", "top5" (of as many landmarks as there are, if fewer) and
    "cross_entropy" of the answer, and "accuracy", "top5" and "loss" of each branch, prefixed with
    its name. Cross-entropies are in nats, not smoothed and not weighted, and of mixed photos those
    of the label that has the larger part, so that they can be compared between heads; "loss"
    without a prefix is what is minimised.

    The model has `branches`, `answer` and `num_landmarks`.
    """

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
        answer = answer_log_probabilities(y_pred, self.answer)
        logits = [answer, *(y_pred[branch] for branch in self.branches)]
        labels = y[self.branches[0]]
        if len(labels.shape) == 2:  # of mixed photos
            labels = ops.argmax(labels, axis=-1)
        for number, metric in enumerate(self._measured.metrics):
            metric.update_state(labels, logits[number // 3])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def probabilities(self, inputs, training=False):
        """Returns the answer's probabilities, float32 tensor `(batch, landmarks)`."""
        return ops.exp(answer_log_probabilities(self(inputs, training=training), self.answer))
