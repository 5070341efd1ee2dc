"""Rejector: says whether a photo shows a known landmark at all, with a p-value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from glr_keras.calibration.conformal import accepted_interval, num_rejected
from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.scores import COMBINATION, ENTROPY, SCORES, TRAINED
from glr_keras.calibration.temperature import fit_temperature
from glr_keras.calibration.train_features import TrainFeatures
from tfrecords.common.console import UserError
from tfrecords.common.files import write_atomically
from tfrecords.images.prepared import DIGEST_BYTES

FILE = "rejection.safetensors"
DIGESTS = "other_digests"
ACCEPT = 0.95  # fraction of photos of known landmarks to accept


@dataclass(frozen=True)
class Rejector:
    """What is fitted to train and validation photos, to tell other places from known landmarks.

    Attributes:
        score: Name of one of `scores.SCORES`.
        temperature: Float, of the answer.
        photos: Int, validation photos.
        accept: Float in (0, 1), fraction of photos of known landmarks to accept.
        arrays: What the score needs, by name; and "reference", the scores of the validation
            photos, float32 `(photos,)`, ascending. Arrays or variables.
        other_train_photos: Int, photos of other places that the score is fitted to, too.
        other_digests: Their files, `digest_of` each, ascending; uint8 `(other_train_photos, 16)`.
    """

    score: str
    temperature: float
    photos: int
    accept: float
    arrays: Mapping[str, Any]
    other_train_photos: int = 0
    other_digests: np.ndarray = field(
        default_factory=lambda: np.zeros((0, DIGEST_BYTES), np.uint8), repr=False, compare=False
    )

    @property
    def settings(self) -> dict:
        """All but the arrays."""
        names = ("score", "temperature", "photos", "accept", "other_train_photos")
        return {name: getattr(self, name) for name in names}

    @property
    def summary(self) -> dict:
        """What `metrics.json` says of it."""
        interval = accepted_interval(self.photos, self.accept)
        return {**self.settings, "accepted_interval": interval}

    @property
    def threshold(self) -> float | None:
        """The lowest score that is accepted; None where all are: there are too few photos."""
        rejected = num_rejected(self.photos, self.accept)
        return float(np.sort(self.arrays["reference"])[rejected - 1]) if rejected else None

    def scaled(self, evidence: Evidence) -> Evidence:
        """Returns the evidence at the temperature."""
        scaled = ops.log_softmax(evidence.log_probabilities / self.temperature, axis=-1)
        return replace(evidence, log_probabilities=scaled)

    def scores(self, evidence: Evidence, score: str = ""):
        """Returns the score of photos, float32 tensor `(batch,)`, high for known landmarks.

        Args:
            evidence: Of the photos.
            score: Name of another score than its own, which is computable from its arrays.
        """
        compute = SCORES[score or self.score].compute
        return ops.cast(compute(self.scaled(evidence), self.arrays), "float32")

    def judge(self, evidence: Evidence) -> dict:
        """Says which photos show a known landmark, and how unusual they would be if they did.

        Returns:
            Dict of tensors `(batch,)`. "p_value", float32 in (0, 1], conformal: (1 + validation
            photos whose score is not higher) / (1 + validation photos). Of a photo drawn as these
            were, it is at most x with a probability of at most x. "is_landmark", bool: whether
            it is above 1 - `accept`.

        Reference:
        - [Bates et al., 2023](https://arxiv.org/abs/2104.08279)
        """
        place = 1 + ops.searchsorted(self.arrays["reference"], self.scores(evidence), side="right")
        return {
            "p_value": ops.cast(place, "float32") / (1.0 + self.photos),
            "is_landmark": place > num_rejected(self.photos, self.accept),
        }

    def save(self, folder: Path) -> None:
        """Writes it into the folder of a run, atomically."""
        arrays = {name: np.ascontiguousarray(values) for name, values in self.arrays.items()}
        if self.other_train_photos:
            arrays[DIGESTS] = self.other_digests
        # Not `save_file`, whose file nobody else may read.
        write_atomically(folder / FILE, save(arrays, {"settings": json.dumps(self.settings)}))


def calibrated(evidence: Evidence, rejector: Rejector | None) -> Any:
    """Returns the answer's log probabilities as users get them.

    They are at the temperature of the run's rejector, and the model's own in a run without.
    """
    return (rejector.scaled(evidence) if rejector else evidence).log_probabilities


def load_rejector(folder: Path, accept: float | None = None) -> Rejector | None:
    """Reads what a run has written; None of one that has none, as those of earlier versions.

    Args:
        folder: Of the run.
        accept: In the place of the stored one, if given.

    Raises:
        UserError: the file is damaged; or `accept` is given and there is none.
    """
    path = folder / FILE
    if not path.exists():
        if accept is None:
            return None
        raise no_rejector(folder)
    try:
        with safe_open(path, "numpy") as file:
            settings = json.loads(file.metadata()["settings"])
            names = list(file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
        digests = {DIGESTS: arrays.pop(DIGESTS)} if DIGESTS in arrays else {}
        rejector = Rejector(**settings, arrays=arrays, **digests)
        return rejector if accept is None else replace(rejector, accept=accept)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} can't be read: {error}. Copy the file again, or delete it: photos of other "
            "places are not rejected then."
        ) from error


def no_rejector(path: Path) -> UserError:
    """Returns the error for a run or export that is asked to accept a fraction, and can't."""
    return UserError(
        f"{path} can't tell its landmarks from other places: an earlier version wrote it, or its "
        "records had no validation photos. Leave out what to accept (--accept), or train it again."
    )


def fit_rejector(
    evidence: Evidence,
    labels: np.ndarray,
    train: TrainFeatures | None = None,
    score: str = "",
    accept: float = ACCEPT,
) -> Rejector:
    """Fits temperature, score and threshold.

    Args:
        evidence: Of validation photos, arrays.
        labels: int64 `(photos,)`, theirs.
        train: Of the train photos, and of other places if there are any to learn from; None of a
            live run, which stores no features.
        score: Name of one of `SCORES`; by default the one that measures best of what there is.
        accept: As in `Rejector`.
    """
    score = score or _best_score(train)
    temperature = fit_temperature(evidence.log_probabilities, labels)
    rejector = Rejector(score, temperature, len(labels), accept, {})
    if (fit := SCORES[score].fit) is not None:
        if train is None:
            raise ValueError(f"The score {score!r} needs the features of train photos.")
        rejector = replace(rejector, arrays=fit(train, rejector.scaled(evidence)))
    reference = np.sort(ops.convert_to_numpy(rejector.scores(evidence)))
    return replace(rejector, arrays={**rejector.arrays, "reference": reference})


def _best_score(train):
    if train is None:
        return ENTROPY
    return COMBINATION if train.penalties is None else TRAINED
