"""Temperature scaling: probabilities that are as high as answers are often correct."""

import numpy as np
from scipy.optimize import minimize_scalar

from glr_keras.runs.metrics import log_softmax

TEMPERATURES = (0.05, 20.0)  # what is searched; the ends only catch models that are never wrong


def apply_temperature(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns log probabilities proportional to `probabilities ** (1 / temperature)`, float64.

    Of one branch that is the softmax of its logits, divided by the temperature.
    """
    return log_softmax(log_probabilities.astype(np.float64) / temperature)


def fit_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature at which the cross-entropy of the labels is lowest.

    Args:
        log_probabilities: float `(photos, landmarks)`.
        labels: int64 `(photos,)`.

    Reference:
    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 4.2
    """
    rows = np.arange(len(labels))

    def loss(log_temperature):
        scaled = apply_temperature(log_probabilities, np.exp(log_temperature))
        return -scaled[rows, labels].mean()

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))
