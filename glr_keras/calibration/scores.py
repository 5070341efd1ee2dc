"""The table of scores by which photos of other places are told from those of known landmarks.

Only keras.ops in them: the same code is measured on arrays and becomes part of an export's graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from keras import ops

from glr_keras.calibration.discriminant import fit_discriminant
from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.train_features import TrainFeatures, unit_roots

Arrays = Mapping[str, Any]
MAXIMUM, ENERGY, ENTROPY = "maximum probability", "energy", "generalized entropy"
NEAREST, MAHALANOBIS = "nearest neighbour", "relative Mahalanobis"
AGREEMENT, ONE_AGAINST_REST = "branch agreement", "one against rest"
DISCRIMINANT_NEIGHBOUR, PENALIZED = "discriminant neighbour", "penalized neighbour"
COMBINATION, TRAINED = "combination", "trained combination"
# Of the combinations; measured in benchmarks/rejection.py. The longer begins with the shorter, so
# that both can be computed from the arrays of the longer.
PARTS = (ENTROPY, MAHALANOBIS)
TRAINED_PARTS = (*PARTS, DISCRIMINANT_NEIGHBOUR, PENALIZED)
WEIGHTS = (2, 1)  # of PARTS
TOP, GAMMA = 5, 0.1  # of the generalized entropy


@dataclass(frozen=True)
class Score:
    """One way of telling known landmarks from other places.

    Attributes:
        compute: From an `Evidence`, whose log probabilities are at the temperature, and arrays to
            a tensor `(batch,)`, high for known landmarks.
        fit: From `TrainFeatures` and the evidence of validation photos to these arrays; None of
            a score without any.
        arrays: Their names.
        branches: Names of the branches that it compares.
        learns_others: Whether it is fitted to photos of other places, too.
    """

    compute: Callable[[Evidence, Arrays], Any]
    fit: Callable[[TrainFeatures, Evidence], dict[str, np.ndarray]] | None = None
    arrays: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    learns_others: bool = False

    def is_computable(self, evidence: Evidence, arrays: Arrays) -> bool:
        """Whether a model's evidence and arrays hold what it takes."""
        has_features = not self.arrays or evidence.embedding is not None
        return (
            has_features
            and set(self.arrays) <= set(arrays)
            and set(self.branches) <= set(evidence.logits)
        )


def maximum_probability(evidence: Evidence, arrays: Arrays):
    """Log of the answer's probability.

    Reference:
    - [Hendrycks and Gimpel, 2017](https://arxiv.org/abs/1610.02136)
    """
    return ops.max(evidence.log_probabilities, axis=-1)


def energy(evidence: Evidence, arrays: Arrays):
    """Log of the sum of the exponentials of the logits; of two branches, the mean of both.

    Reference:
    - [Liu et al., 2020](https://arxiv.org/abs/2010.03759)
    """
    names = evidence.logits
    branches = [ops.logsumexp(_logits(evidence, name), axis=-1) for name in names]
    return ops.mean(ops.stack(branches), axis=0)


def generalized_entropy(evidence: Evidence, arrays: Arrays):
    """Minus the sum of `(p (1 - p)) ** GAMMA` over the `TOP` likeliest landmarks.

    Reference:
    - [Liu et al., 2023](https://doi.org/10.1109/CVPR52729.2023.02293), GEN
    """
    count = min(TOP, evidence.log_probabilities.shape[-1])
    highest = ops.exp(ops.top_k(evidence.log_probabilities, count)[0])
    return -ops.sum(ops.maximum(highest * (1 - highest), 0.0) ** GAMMA, axis=-1)


def nearest_neighbour(evidence: Evidence, arrays: Arrays):
    """Cosine of the angle to the nearest train photo's features.

    Reference:
    - [Sun et al., 2022](https://arxiv.org/abs/2204.06507)
    """
    return ops.max(_cosines(evidence, arrays), axis=-1)


def discriminant_neighbour(evidence: Evidence, arrays: Arrays):
    """The same in the directions in which landmarks differ, seen from the mean of all photos."""
    photos = ops.matmul(unit_roots(evidence.embedding), arrays["projection"])
    photos = ops.normalize(photos - arrays["background_mean"], axis=-1)
    neighbours = ops.cast(arrays["neighbours"], "float32")
    return ops.max(ops.matmul(photos, ops.transpose(neighbours)), axis=-1)


def penalized_neighbour(evidence: Evidence, arrays: Arrays):
    """`nearest_neighbour`, each cosine less how similar that train photo is to others.

    Reference:
    - [Henkel and Singer, 2020](https://arxiv.org/abs/2010.01650)
    """
    return ops.max(_cosines(evidence, arrays) - arrays["penalties"], axis=-1)


def _cosines(evidence, arrays):
    bank = ops.cast(arrays["bank"], "float32")
    return ops.matmul(unit_roots(evidence.embedding), ops.transpose(bank))


def relative_mahalanobis(evidence: Evidence, arrays: Arrays):
    """How much nearer a photo is to a landmark than to photos of any place.

    Squared Mahalanobis distance to all photos, minus the mean of those to the landmark that was
    named and to the nearest one. They are the same one unless head and distances disagree.

    Reference:
    - [Ren et al., 2021](https://arxiv.org/abs/2106.09022)
    """
    photos = ops.matmul(unit_roots(evidence.embedding), arrays["projection"])
    means = arrays["means"]
    distances = (
        ops.sum(photos**2, axis=-1, keepdims=True)
        - 2 * ops.matmul(photos, ops.transpose(means))
        + ops.sum(means**2, axis=-1)
    )
    # Keras' argmax looks at bits, which ONNX can't.
    answer = ops.top_k(evidence.log_probabilities, 1)[1]
    of_answer = ops.take_along_axis(distances, answer, axis=1)[:, 0]
    offsets = photos - arrays["background_mean"]
    background = ops.sum(offsets**2 / arrays["background_variance"], axis=-1)
    return background - (of_answer + ops.min(distances, axis=-1)) / 2


def branch_agreement(evidence: Evidence, arrays: Arrays):
    """Log of the Bhattacharyya coefficient of both branches' probabilities; 0 if they are equal."""
    branches = [_logits(evidence, name) for name in ("attention", "perception")]
    first, second = (ops.log_softmax(logits, axis=-1) for logits in branches)
    return ops.logsumexp((first + second) / 2, axis=-1)


def one_against_rest(evidence: Evidence, arrays: Arrays):
    """Log probability that the attention branch's highest score is a hit and all others are not.

    Each score is taken for the logit of a classifier of its own.
    """
    logits = _logits(evidence, "attention")
    highest = ops.max(logits, axis=-1)
    return highest - ops.sum(ops.softplus(logits), axis=-1)


def _logits(evidence, branch):
    return ops.cast(evidence.logits[branch], "float32")


def combination(evidence: Evidence, arrays: Arrays, names: tuple[str, ...] = PARTS):
    """Mean of scores, each with mean 0 and variance 1 on validation photos.

    That of `PARTS` is weighted, unless an earlier version has fitted it, which had no weights.
    """
    parts = ops.stack([SCORES[name].compute(evidence, arrays) for name in names], axis=-1)
    means, deviations = (arrays[name][: len(names)] for name in PART_ARRAYS)
    standardized = (parts - means) / deviations
    if names != PARTS or "part_weights" not in arrays:
        return ops.mean(standardized, axis=-1)
    weights = arrays["part_weights"]
    return ops.sum(weights * standardized, axis=-1) / ops.sum(weights)


def fit_bank(train: TrainFeatures, validation: Evidence) -> dict[str, np.ndarray]:
    """Keeps the features of train photos."""
    return {"bank": train.bank}


def fit_neighbours(train: TrainFeatures, validation: Evidence) -> dict[str, np.ndarray]:
    """Keeps a view of each train photo in the directions of the discriminant, in half precision."""
    arrays = fit_discriminant(train)
    photos = train.first_view @ arrays["projection"] - arrays["background_mean"]
    lengths = np.linalg.norm(photos, axis=1, keepdims=True)
    return arrays | {"neighbours": (photos / np.maximum(lengths, 1e-12)).astype(np.float16)}


def fit_penalized(train: TrainFeatures, validation: Evidence) -> dict[str, np.ndarray]:
    """Keeps a view of each train photo in half precision, and its penalty."""
    if train.penalties is None:
        raise ValueError("This score needs photos of other places.")
    return {"bank": train.first_view.astype(np.float16), "penalties": train.penalties}


def fit_combination(
    train: TrainFeatures, validation: Evidence, names: tuple[str, ...] = PARTS
) -> dict[str, np.ndarray]:
    """Fits the parts, and measures them on validation photos."""
    arrays: dict[str, np.ndarray] = {}
    for name in reversed(names):  # what a later one has fitted, an earlier one needs not
        fit, needed = SCORES[name].fit, set(SCORES[name].arrays)
        if fit is not None and not needed <= set(arrays):
            arrays |= fit(train, validation)
    each = [SCORES[name].compute(validation, arrays) for name in names]
    parts = np.stack([ops.convert_to_numpy(values) for values in each])
    deviations = np.maximum(parts.std(1), 1e-3)  # of a head that is always as sure
    measured = {"part_means": parts.mean(1), "part_deviations": deviations}
    return {**arrays, **measured, "part_weights": np.array(WEIGHTS, np.float32)}


DISCRIMINANT = ("projection", "means", "background_mean", "background_variance")
NEIGHBOURS = (*DISCRIMINANT, "neighbours")
PENALTIES = ("bank", "penalties")
PART_ARRAYS = ("part_means", "part_deviations")
SCORES: Mapping[str, Score] = MappingProxyType(
    {
        MAXIMUM: Score(maximum_probability),
        ENERGY: Score(energy, branches=("perception",)),
        ENTROPY: Score(generalized_entropy),
        NEAREST: Score(nearest_neighbour, fit_bank, ("bank",)),
        MAHALANOBIS: Score(
            relative_mahalanobis, lambda train, _: fit_discriminant(train), DISCRIMINANT
        ),
        AGREEMENT: Score(branch_agreement, branches=("attention", "perception")),
        ONE_AGAINST_REST: Score(one_against_rest, branches=("attention", "perception")),
        DISCRIMINANT_NEIGHBOUR: Score(discriminant_neighbour, fit_neighbours, NEIGHBOURS),
        PENALIZED: Score(penalized_neighbour, fit_penalized, PENALTIES, learns_others=True),
        COMBINATION: Score(combination, fit_combination, (*DISCRIMINANT, *PART_ARRAYS)),
        TRAINED: Score(
            partial(combination, names=TRAINED_PARTS),
            partial(fit_combination, names=TRAINED_PARTS),
            (*NEIGHBOURS, *PENALTIES, *PART_ARRAYS),
            learns_others=True,
        ),
    }
)
