"""Photos whose label may be wrong: those which all other photos speak against.

Answers are cross-validated: each photo's comes from a logistic regression that has seen a part of
the photos without it, so a wrong label can't have been learned by heart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from keras import ops

from glr_keras.calibration.evidence import average
from glr_keras.calibration.train_features import unit_roots
from glr_keras.features.store import FeatureViews, row_batches
from glr_keras.runs.metrics import log_softmax
from glr_keras.runs.suspects import Suspect
from glr_keras.training.logistic import CrossEntropy

FOLDS = 5
L2 = 0.02  # best of `training.logistic.L2` on validation photos of 27 landmarks, VGG16


def find_suspects(views: Mapping[str, FeatureViews], names: Sequence[str]) -> list[Suspect]:
    """Finds photos of all splits that are taken for another landmark, the most suspect first.

    Args:
        views: Split -> its stored features; the first view of train photos counts.
        names: Landmark names in label order.

    Reference:
    - [Northcutt et al., 2021](https://arxiv.org/abs/1911.00068), confident learning
    """
    features = np.concatenate([_pool(one) for one in views.values()])
    labels = np.concatenate([one.labels for one in views.values()])
    answers = cross_validate(features, labels, len(names))
    rows = np.arange(len(labels))
    own = answers[rows, labels]
    answers[rows, labels] = -np.inf
    likelier = answers.argmax(1)
    scores = own - answers[rows, likelier]
    places = [(split, number) for split, one in views.items() for number in range(len(one))]
    found = []
    for row in np.argsort(scores, kind="stable"):
        if scores[row] >= 0:
            break
        split, number = places[row]
        photo = views[split].photo_ids[number]
        label, other = names[labels[row]], names[likelier[row]]
        found.append(Suspect(split, number, photo, label, other, round(float(scores[row]), 3)))
    return found


def cross_validate(features: np.ndarray, labels: np.ndarray, num_landmarks: int) -> np.ndarray:
    """Returns what is answered to each photo by a model that has not seen it.

    Args:
        features: float32 `(photos, channels)`.
        labels: int64 `(photos,)`.
        num_landmarks: Int.

    Returns:
        float64 `(photos, num_landmarks)`, log probabilities.
    """
    features = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    answers = np.zeros((len(labels), num_landmarks))
    fold_of = np.arange(len(labels)) % FOLDS  # records are shuffled
    for fold in range(FOLDS):
        seen = fold_of != fold
        weights = np.ones(int(seen.sum()), np.float32)
        objective = CrossEntropy(features[seen], labels[seen], weights, num_landmarks)
        found, _ = objective.minimize(L2, objective.start())
        answers[~seen] = log_softmax(features[~seen] @ found[:-1] + found[-1])
    return answers


def _pool(views):
    batches = (views.first_view.rows(rows) for rows in row_batches(len(views)))
    pooled = [ops.convert_to_numpy(unit_roots(average(features))) for features in batches]
    return np.concatenate(pooled)
