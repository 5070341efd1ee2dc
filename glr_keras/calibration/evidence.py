"""Evidence: what a model says of photos, from which scores are computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

MAX_VALUES = 2**23  # of an array that is kept: 32 MB in float32, of which scores make a dozen


@dataclass(frozen=True)
class Evidence:
    """What a model says of a batch of photos; arrays or tensors.

    Attributes:
        log_probabilities: float `(batch, landmarks)`, of the answer.
        logits: Dict of float `(batch, landmarks)`, of each branch.
        embedding: float `(batch, channels)`, features averaged over space; None of a live run.
    """

    log_probabilities: Any
    logits: Mapping[str, Any]
    embedding: Any = None


@dataclass
class EvidenceCollector:
    """Collects evidence batch by batch; of very many photos or landmarks, that of the first ones.

    That is a fair draw, as records are shuffled.

    Attributes:
        photos: Int, how many were taken so far.
    """

    photos: int = 0
    _evidence: list[Evidence] = field(default_factory=list)
    _labels: list[np.ndarray] = field(default_factory=list)

    def update(self, evidence: Evidence, labels: np.ndarray) -> None:
        """Adds a batch of arrays; labels are int64 `(batch,)`."""
        most = max(1, MAX_VALUES // evidence.log_probabilities.shape[1])
        if self.photos < most:
            self._evidence.append(evidence)
            self._labels.append(labels)
            self.photos += len(labels)

    @property
    def evidence(self) -> Evidence:
        """Of all photos so far, of which there is at least one."""
        first, *_ = self._evidence
        has_features = first.embedding is not None
        return Evidence(
            np.concatenate([one.log_probabilities for one in self._evidence]),
            {
                name: np.concatenate([one.logits[name] for one in self._evidence])
                for name in first.logits
            },
            np.concatenate([one.embedding for one in self._evidence]) if has_features else None,
        )

    @property
    def labels(self) -> np.ndarray:
        """int64 `(photos,)`."""
        return np.concatenate(self._labels)


def average(features) -> np.ndarray:
    """Averages features `(batch, h, w, channels)` over space: float32 `(batch, channels)`."""
    features = keras.ops.cast(features, "float32")
    return keras.ops.convert_to_numpy(keras.ops.mean(features, axis=(1, 2)))
