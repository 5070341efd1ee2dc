"""None of these places: how well scores tell photos of known landmarks from other photos."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import beta, rankdata

from glr_keras.evaluation.answers import Answers
from glr_keras.runs.intervals import CONFIDENCE

MAXIMUM, ENERGY = "maximum probability", "energy"
TRUE_POSITIVES = 0.95  # of photos of known landmarks, where false positives are counted


@dataclass(frozen=True)
class Calibration:
    """What is learned from validation photos about the scores of a model.

    Attributes:
        temperatures: Output -> its temperature.
        scores: Name of a score -> its values on validation photos, float64 `(photos,)`.
    """

    temperatures: dict[str, float] = field(default_factory=dict)
    scores: dict[str, np.ndarray] = field(default_factory=dict)


def rejection_scores(answers: Answers) -> dict[str, np.ndarray]:
    """Returns the scores by which photos can be rejected, high for known landmarks.

    Returns:
        Dict of float64 `(photos,)`: "maximum probability", at the temperature if there is one, and
        "energy", the log of the sum of the exponentials of the logits (of an ABN, the mean of both
        branches'), which an export does not have.

    Reference:
    - [Hendrycks and Gimpel, 2017](https://arxiv.org/abs/1610.02136)
    - [Liu et al., 2020](https://arxiv.org/abs/2010.03759)
    """
    has_temperature = answers.temperature is not None
    scores = {MAXIMUM: answers.scaled_score if has_temperature else answers.scores[:, 0]}
    if not np.isnan(answers.energy).any():
        scores[ENERGY] = answers.energy
    return scores


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns conformal p-values: how unusually low a score is for a photo of a known landmark.

    (1 + validation photos whose score is not higher) / (1 + validation photos). Of a photo drawn as
    the validation photos were, it is at most x with a probability of at most x.

    Args:
        calibration: float `(validation photos,)`.
        scores: float `(photos,)`.

    Returns:
        float64 `(photos,)` in (0, 1].

    Reference:
    - [Bates et al., 2023](https://arxiv.org/abs/2104.08279)
    """
    not_higher = np.searchsorted(np.sort(calibration), scores, side="right")
    return (1 + not_higher) / (1 + len(calibration))


def accepted_interval(validation_photos: int, accept: float) -> list[float]:
    """Returns what fraction of known photos a threshold accepts, as a 95 % interval.

    A photo is accepted where its p-value is above 1 - `accept`. The fraction accepted is fixed once
    validation photos are drawn, and has a Beta distribution over such draws.

    Reference:
    - [Vovk, 2012](https://arxiv.org/abs/1209.2673), section 3
    """
    rejected = _num_rejected(validation_photos, accept)
    if not rejected:
        return [1.0, 1.0]
    accepted = beta(validation_photos + 1 - rejected, rejected)
    return [float(end) for end in accepted.interval(CONFIDENCE)]


def is_accepted(p: np.ndarray, validation_photos: int, accept: float) -> np.ndarray:
    """Whether photos pass as known landmarks, bool `(photos,)`."""
    return np.rint(p * (validation_photos + 1)) > _num_rejected(validation_photos, accept)


def auroc(known: np.ndarray, other: np.ndarray) -> float:
    """Returns the chance that a known photo has a higher score than another one; ties count 1/2."""
    ranks = rankdata(np.concatenate([known, other]))[: len(known)]
    wins = ranks.sum() - len(known) * (len(known) + 1) / 2
    return float(wins / (len(known) * len(other)))


def false_positives(known: np.ndarray, other: np.ndarray) -> float:
    """Returns the fraction of other photos above the threshold that 95 % of known ones reach."""
    needed = int(np.ceil(TRUE_POSITIVES * len(known)))
    threshold = np.sort(known)[len(known) - needed]
    return float((other >= threshold).mean())


def measure_rejection(
    answers: Answers, others: Answers | None, calibration: Calibration, accept: float
) -> dict:
    """Measures each score on photos of known landmarks, and on other photos where there are some.

    Returns:
        Dict from score to: "known_accepted" and "other_accepted", fractions of photos whose p-value
        is above 1 - `accept`, with the "accepted_interval" that holds for known ones (where there
        is a calibration); "auroc" and "false_positives_at_95" (where there are other photos).
    """
    scores = rejection_scores(answers)
    others_scores = rejection_scores(others) if others is not None else {}
    result = {}
    for name, values in scores.items():
        known, other = values[answers.is_labelled], others_scores.get(name)
        numbers: dict[str, float | list[float]] = {}
        if len(known) and other is not None:
            numbers["auroc"] = auroc(known, other)
            numbers["false_positives_at_95"] = false_positives(known, other)
        if (reference := calibration.scores.get(name)) is not None:
            photos = {"known": known, "other": other}
            for kind, of_photos in photos.items():
                if of_photos is not None and len(of_photos):
                    passed = is_accepted(p_values(reference, of_photos), len(reference), accept)
                    numbers[f"{kind}_accepted"] = float(passed.mean())
            numbers["accepted_interval"] = accepted_interval(len(reference), accept)
        result[name] = numbers
    return result


def _num_rejected(validation_photos, accept):
    """How many of the possible p-values 1 / (n + 1), 2 / (n + 1), ... are not above 1 - accept."""
    return int(np.floor((1 - accept) * (validation_photos + 1) + 1e-9))
