"""Logistic regression on stored features, to convergence: what any other head has to beat."""

import numpy as np
import scipy.optimize
import tensorflow as tf
from tqdm import tqdm

from glr_keras.config import FitConfig
from glr_keras.models.plain_heads import LogisticHead
from glr_keras.runs.metrics import log_softmax
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.batches import StoredFeatures, label_weights

L2 = np.logspace(0, -5, 21)  # weights of the penalty that are tried, the strongest first
MAX_ITERATIONS = 200  # of L-BFGS for each of them; most converge in a third of it


def fit_logistic(
    head: LogisticHead, source: StoredFeatures, config: FitConfig, run: RunDir
) -> TrainingState:
    """Fits `head` by L-BFGS to all stored views, and chooses the L2 penalty on validation photos.

    Minimised is the mean cross-entropy of the training views plus `l2 / 2` times the squared
    weights of the pooled features, scaled to mean 0 and variance 1. Each penalty starts where the
    two before it point to. Nothing is random. A run that is killed meanwhile starts over.

    Args:
        head: LogisticHead; has its weights afterwards.
        source: StoredFeatures.
        config: FitConfig; its balance.
        run: RunDir, for `history.csv`: a row per penalty in the place of epochs.

    Returns:
        TrainingState; its best epoch is the penalty of the highest validation accuracy, of equals
        that of the lowest cross-entropy.
    """
    train, labels = _pool_all(head, source.in_order("train"))
    validation, val_labels = _pool_all(head, source.in_order("validation"))
    mean, deviation = train.mean(0), np.maximum(train.std(0), 1e-6)
    for features in (train, validation):
        features -= mean
        features /= deviation
    weights = label_weights(labels, head.num_landmarks, config.balance)[labels]
    objective = CrossEntropy(train, labels, weights, head.num_landmarks)
    parameters = earlier = objective.start()
    history, best = [], (0.0, -np.inf)
    for number, l2 in enumerate(tqdm(L2, "Penalties", unit=" fits")):
        starts = (parameters, 2 * parameters - earlier)
        earlier, (parameters, loss) = parameters, objective.minimize(l2, *starts)
        row = {"epoch": number + 1, "l2": float(l2), "loss": loss}
        row |= _measure("", parameters, train, labels)
        row |= _measure("val_", parameters, validation, val_labels)
        history.append(row)
        reached = (row["val_accuracy"], -row["val_cross_entropy"])
        if reached > best:
            best, chosen, best_epoch = reached, parameters, number
    kernel = chosen[:-1] / deviation[:, None]
    head.branch.layers[-1].set_weights([kernel, chosen[-1] - mean @ kernel])
    run.write_history(history)
    return TrainingState(len(L2), history, best_epoch, finished=True)


def _pool_all(head, batches):
    """Returns pooled features, float32 `(photos, channels)`, and labels of all batches."""
    features, labels = zip(*((head.pool(maps), labels) for maps, labels in batches), strict=True)
    return np.concatenate(features), np.concatenate(labels)


class CrossEntropy:
    """Mean cross-entropy of a logistic regression with a penalty, and where it is lowest.

    Args:
        features: float32 `(photos, channels)`, of mean 0 and variance 1.
        labels: int64 `(photos,)`.
        weights: float32 `(photos,)`.
        num_landmarks: Int.
    """

    def __init__(self, features, labels, weights, num_landmarks: int):
        # TensorFlow multiplies by a narrow matrix in half of numpy's time. In float32, which is
        # enough for a slope.
        self._features = tf.constant(features, tf.float32)
        self._targets = tf.one_hot(labels, num_landmarks)
        self._weights = tf.constant(weights / len(labels), tf.float32)[:, None]
        self._shape = (features.shape[1] + 1, num_landmarks)
        self._graph = tf.function(self._evaluate)

    def start(self) -> np.ndarray:
        """Returns zeros, float64 `(channels + 1, landmarks)`; the last row is the bias."""
        return np.zeros(self._shape)

    def minimize(self, l2: float, *starts: np.ndarray) -> tuple[np.ndarray, float]:
        """Finds the lowest value by L-BFGS.

        Args:
            l2: Of the penalty `l2 / 2` times the squared kernel.
            *starts: Parameters; it begins with those among them whose value is lowest.

        Returns:
            The parameters, and the mean cross-entropy with the penalty.
        """
        evaluated = [self._value_and_slope(start.ravel(), l2) for start in starts]
        lowest = int(np.argmin([value for value, _ in evaluated]))
        start, of_start = starts[lowest].ravel(), evaluated[lowest]
        # Tolerances are relative: weak penalties have values near 0, and one landmark has 0.
        scale = of_start[0] or 1.0

        def scaled(flat):
            is_start = np.array_equal(flat, start)  # the first point that scipy asks for
            value, slope = of_start if is_start else self._value_and_slope(flat, l2)
            return value / scale, slope / scale

        options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-6, "gtol": 1e-5}
        found = scipy.optimize.minimize(scaled, start, jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(self._shape), float(found.fun) * scale

    def _value_and_slope(self, flat, l2):
        parameters = tf.constant(flat.reshape(self._shape), tf.float32)
        value, slope = self._graph(parameters, tf.constant(l2, tf.float32))
        return float(value), slope.numpy().astype(np.float64).ravel()

    def _evaluate(self, parameters, l2):
        kernel, bias = parameters[:-1], parameters[-1]
        logs = tf.nn.log_softmax(self._features @ kernel + bias)
        hits = tf.reduce_sum(self._weights * self._targets * logs)
        error = self._weights * (tf.exp(logs) - self._targets)
        slope = tf.matmul(self._features, error, transpose_a=True) + l2 * kernel
        penalty = l2 / 2 * tf.reduce_sum(kernel**2)
        return penalty - hits, tf.concat([slope, tf.reduce_sum(error, 0, keepdims=True)], 0)


def _measure(prefix, parameters, features, labels):
    logits = features @ parameters[:-1].astype(np.float32) + parameters[-1].astype(np.float32)
    accuracy = float((logits.argmax(1) == labels).mean())
    loss = float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())
    return {
        f"{prefix}accuracy": accuracy,
        f"{prefix}cross_entropy": loss,
        f"{prefix}perception_accuracy": accuracy,
        f"{prefix}perception_loss": loss,
    }
