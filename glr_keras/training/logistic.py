"""Logistic regression on stored features, to convergence: what any other head has to beat."""

import numpy as np
import scipy.optimize
import scipy.special
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
    weights of the pooled features, scaled to mean 0 and variance 1. Each penalty starts from the
    weights of the one before. Nothing is random. A run that is killed meanwhile starts over.

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
    parameters = np.zeros((train.shape[1] + 1, head.num_landmarks))
    history, best = [], (0.0, -np.inf)
    for number, l2 in enumerate(tqdm(L2, "Penalties", unit=" fits")):
        parameters, loss = minimize_cross_entropy(parameters, train, labels, weights, l2)
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


def minimize_cross_entropy(parameters, features, labels, weights, l2):
    """Fits a logistic regression by L-BFGS.

    Args:
        parameters: float64 `(channels + 1, landmarks)` to start from; the last row is the bias.
        features: float32 `(photos, channels)`, of mean 0 and variance 1.
        labels: int64 `(photos,)`.
        weights: float32 `(photos,)`.
        l2: Float, of the penalty `l2 / 2` times the squared kernel.

    Returns:
        The parameters, and the mean cross-entropy with the penalty.
    """
    shape, rows = parameters.shape, np.arange(len(labels))

    def objective(flat):
        # In float32, which is enough for a slope and half the time.
        kernel, bias = np.split(flat.reshape(shape).astype(np.float32), [-1])
        log_probabilities = scipy.special.log_softmax(features @ kernel + bias, axis=1)
        loss = -(weights * log_probabilities[rows, labels]).mean() + l2 / 2 * (kernel**2).sum()
        error = np.exp(log_probabilities)
        error[rows, labels] -= 1
        error *= weights[:, None] / len(labels)
        slope = np.concatenate([features.T @ error + np.float32(l2) * kernel, error.sum(0)[None]])
        return float(loss), slope.astype(np.float64).ravel()

    options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    found = scipy.optimize.minimize(
        objective, parameters.ravel(), jac=True, method="L-BFGS-B", options=options
    )
    return found.x.reshape(shape), float(found.fun)


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
