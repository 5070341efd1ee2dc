"""None of these places: how well scores tell photos of known landmarks from other photos."""

import numpy as np
from scipy.stats import norm, rankdata

from glr_keras.calibration.conformal import accepted_interval, is_accepted
from glr_keras.calibration.score_histogram import score_histogram
from glr_keras.evaluation.answers import Answers
from glr_keras.evaluation.sources import Evaluated
from glr_keras.runs.intervals import CONFIDENCE

TRUE_POSITIVES = 0.95  # of photos of known landmarks, where false positives are counted


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


def auroc_interval(known: np.ndarray, other: np.ndarray) -> list[float]:
    """Returns the 95 % interval of the AUROC.

    Reference:
    - [DeLong et al., 1988](https://doi.org/10.2307/2531595)
    """
    ranks = rankdata(np.concatenate([known, other]))
    wins = (ranks[: len(known)] - rankdata(known)) / len(other)
    losses = (ranks[len(known) :] - rankdata(other)) / len(known)
    variance = sum(one.var() / len(one) for one in (wins, losses))
    half = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(variance)
    area = wins.mean()
    return [float(max(0.0, area - half)), float(min(1.0, area + half))]


def average_precision(known: np.ndarray, other: np.ndarray) -> float:
    """Returns the area under the precision-recall curve of finding known photos by high scores.

    The mean, over known photos, of the fraction of known ones among the photos with no lower score.
    """
    thresholds, photos = np.unique(known, return_counts=True)
    known_above = len(known) - np.searchsorted(np.sort(known), thresholds)
    other_above = len(other) - np.searchsorted(np.sort(other), thresholds)
    precision = known_above / (known_above + other_above)
    return float((precision * photos).sum() / len(known))


def measure_rejection(
    answers: Answers, others: Answers | None, evaluated: Evaluated, accept: float
) -> dict:
    """Measures each score on photos of known landmarks and others; and what the model accepts.

    Args:
        answers: To photos, of which those with landmarks count.
        others: To photos of other places; None where there are none.
        evaluated: The model.
        accept: Float in (0, 1), fraction of photos of known landmarks to accept.

    Returns:
        Dict of "accept"; where the model can reject photos, "score" (its own), "known_accepted" and
        "other_accepted", fractions of photos whose p-value is above 1 - `accept`, the
        "accepted_interval" that holds for known ones, and the "histogram" of the score (of an
        export, of p-values), from `score_histogram`; and "scores", for each of which there are
        "auroc" with its interval, "aupr" and "false_positives_at_95" where there are other photos.
    """
    known = answers.is_labelled
    result: dict = {"accept": accept, "scores": {}}
    if others is not None:
        for name, values in answers.rejection.items():
            pair = values[known], others.rejection[name]
            result["scores"][name] = {
                "auroc": auroc(*pair),
                "auroc_interval": auroc_interval(*pair),
                "aupr": average_precision(*pair),
                "false_positives_at_95": false_positives(*pair),
            }
    if answers.p_values is not None:
        photos, score = (evaluated.rejection[name] for name in ("photos", "score"))
        result |= {
            "score": score,
            "known_accepted": float(is_accepted(answers.p_values[known], photos, accept).mean()),
            "accepted_interval": accepted_interval(photos, accept),
        }
        if others is not None and others.p_values is not None:
            passed = is_accepted(others.p_values, photos, accept)
            result["other_accepted"] = float(passed.mean())
        result["histogram"] = score_histogram(
            answers.rejection[score][known],
            None if others is None else others.rejection[score],
            evaluated.threshold(accept),
        )
    return result
