"""GlobalAveragePrecision: the challenge's score, batch by batch, as a Keras metric."""

import keras
from keras import ops

from glr_keras.models.layers import PACKAGE

BINS = 2**14
LOWEST, HIGHEST = -12.0, 20.0  # log-odds between which bins are equal; the outer ones are open


@keras.saving.register_keras_serializable(PACKAGE)
class GlobalAveragePrecision(keras.metrics.Metric):
    """The challenge's score (micro average precision) of one prediction per photo.

    Predictions are sorted by score, highest first; each correct one adds the precision down to it;
    the sum is divided by the number of photos that show a landmark. `runs.metrics` has the exact
    one, which needs all scores at once. This one counts them in 16,384 bins of the log-odds of the
    likeliest landmark, and takes scores in one bin as tied: each of them has the precision down to
    the end of its bin. Its memory does not grow with the photos. With logits, scores stay apart
    that are all 1 as probabilities in float32.

    Args:
        from_logits: Bool, whether predictions are logits; else they are probabilities.
        name, dtype: As for any metric.

    Call arguments:
        y_true: int `(batch,)` or `(batch, 1)`, labels; below 0 for photos that show no landmark.
        y_pred: float `(batch, landmarks)`.
        sample_weight: None: a photo counts once.

    Reference:
    - [The 2018 challenge](https://www.kaggle.com/c/landmark-recognition-challenge), evaluation
    """

    def __init__(self, from_logits=False, name="global_average_precision", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.from_logits = from_logits
        self.correct = self.add_variable((BINS,), "zeros", dtype="int32", name="correct")
        self.seen = self.add_variable((BINS,), "zeros", dtype="int32", name="seen")
        self.with_landmark = self.add_variable((), "zeros", dtype="int32", name="with_landmark")

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise ValueError("GlobalAveragePrecision takes no sample_weight: a photo counts once.")
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        scores = ops.cast(y_pred, "float32")
        predicted = ops.cast(ops.argmax(scores, axis=-1), "int32")
        position = (self._log_odds(scores, predicted) - LOWEST) / (HIGHEST - LOWEST) * BINS
        bins = ops.cast(ops.clip(position, 0, BINS - 1), "int32")
        self.seen.assign(self.seen + _count(bins, ops.ones_like(bins)))
        self.correct.assign(self.correct + _count(bins, ops.cast(predicted == labels, "int32")))
        photos = ops.sum(ops.cast(labels >= 0, "int32"))
        self.with_landmark.assign(self.with_landmark + photos)

    def _log_odds(self, scores, predicted):
        highest = ops.max(scores, axis=-1)
        if not self.from_logits:
            return ops.log(highest + 1e-30) - ops.log(ops.maximum(1 - highest, 1e-30))
        is_best = ops.one_hot(predicted, scores.shape[-1])
        return highest - ops.logsumexp(scores - 1e30 * is_best, axis=-1)

    def result(self):
        correct, seen = (
            ops.cast(ops.cumsum(ops.flip(counts)), "float32")
            for counts in (self.correct, self.seen)
        )
        precision = correct / ops.maximum(seen, 1)
        total = ops.sum(ops.cast(ops.flip(self.correct), "float32") * precision)
        return total / ops.cast(ops.maximum(self.with_landmark, 1), "float32")

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


def _count(bins, values):
    return ops.segment_sum(values, bins, num_segments=BINS)
