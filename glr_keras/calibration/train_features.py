"""What scores learn from the features of train photos: sums, in one pass over stored views."""

import numpy as np
from keras import ops

MAX_BANK_VALUES = 2**25  # 128 MB in float32
NEAREST_OTHERS = 5  # photos of other places that a train photo's penalty comes from: the reference


def unit_roots(averages):
    """Signed square roots of features averaged over space, scaled to length 1, `(batch, channels)`.

    The roots keep a few channels from outweighing all others; without the lengths, distances no
    longer follow how much there is to see in a photo.

    Reference:
    - [Mueller and Hein, 2025](https://arxiv.org/abs/2505.18032)
    """
    roots = ops.sign(averages) * ops.sqrt(ops.abs(averages) + 1e-6)
    # A photo of which all features are 0 stays at 0, instead of becoming NaN for all photos.
    return roots / ops.sqrt(ops.sum(roots**2, axis=-1, keepdims=True) + 1e-12)


class TrainFeatures:
    """Sums over the `unit_roots` of train photos, view by view.

    Args:
        num_landmarks: Int.
        photos: Int, of the train split; each is given once per view.

    Attributes:
        counts: int64 `(landmarks,)`, views of photos.
        sums: float64 `(landmarks, channels)`.
        squares: float64 `(channels, channels)`, the sum of outer products.
        bank: float32 `(photos, channels)`: the first ones, at most `MAX_BANK_VALUES` values.
        penalties: float32, for each row of `first_view` how similar other places are to it: the
            mean cosine of the `NEAREST_OTHERS` most similar ones; None where there were none.

    Reference:
    - [Henkel and Singer, 2020](https://arxiv.org/abs/2010.01650), penalties of train photos
    """

    def __init__(self, num_landmarks: int, photos: int):
        self.photos = photos
        self.counts = np.zeros(num_landmarks, np.int64)
        self._bank: list[np.ndarray] = []
        self._left = 0
        self._nearest: np.ndarray | None = None

    def update(self, averages: np.ndarray, labels: np.ndarray) -> None:
        """Adds a batch of features averaged over space, float32 `(batch, channels)`."""
        rows = ops.convert_to_numpy(unit_roots(averages))
        channels = rows.shape[1]
        if not self.counts.any():
            self.sums = np.zeros((len(self.counts), channels))
            self.squares = np.zeros((channels, channels))
            self._left = max(1, MAX_BANK_VALUES // channels)
        self.counts += np.bincount(labels, minlength=len(self.counts))
        np.add.at(self.sums, labels, rows)
        self.squares += rows.T @ rows
        self._bank.append(rows[: self._left])
        self._left -= len(self._bank[-1])

    @property
    def bank(self) -> np.ndarray:
        return np.concatenate(self._bank)

    @property
    def first_view(self) -> np.ndarray:
        """The bank's rows of the first view, one per photo."""
        return self.bank[: self.photos]

    def update_others(self, averages: np.ndarray) -> None:
        """Adds a batch of photos of other places, after all train photos."""
        cosines = self.first_view @ ops.convert_to_numpy(unit_roots(averages)).T
        if self._nearest is not None:
            cosines = np.concatenate([self._nearest, cosines], axis=1)
        self._nearest = -np.sort(-cosines, axis=1)[:, :NEAREST_OTHERS]

    @property
    def penalties(self) -> np.ndarray | None:
        return None if self._nearest is None else self._nearest.mean(1)
