"""Photos with cells taken out: what stands in their place, and each one asked for only once."""

from collections.abc import Iterator
from functools import cached_property

import cv2
import numpy as np

from glr_keras.saliency.grids import enlarge, fill_cells, min_max

# RGB in [0, 255], of ImageNet: 0 in the normalised space of most networks.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
BLUR_SIZE, BLUR_SIGMA = 11, 5  # pixels, as RISE has them
IMPUTATION_NOISE = 0.01 * 255  # standard deviation, of ROAD
ITERATIONS = (16, 40)  # of conjugate gradients, at the finest and at each coarser scale


def blur_baseline(photo: np.ndarray) -> np.ndarray:
    """Returns `photo` blurred as RISE does for insertion."""
    return cv2.GaussianBlur(photo, (BLUR_SIZE, BLUR_SIZE), BLUR_SIGMA)


def impute(photo: np.ndarray, removed: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noisy linear imputation: each removed pixel is a weighted mean of its neighbours, plus noise.

    The four direct neighbours weigh 1/6 each, the four diagonal ones 1/12; neighbours may be
    removed, too, so this is a linear system. At the border the weights that are left count. It is
    solved from coarse to fine, with relaxation at each scale.

    Args:
        photo: float32 `(height, width, channels)`.
        removed: bool `(height, width)`, not all of it.
        noise: As `photo`, what is added to the removed pixels.

    Returns:
        As `photo`.

    Reference:
    - [Rong et al., 2022](https://arxiv.org/abs/2202.00449), section 4.3
    """
    filled = _fill(photo.astype(np.float32), removed)
    return np.where(removed[..., None], filled + noise, photo)


def _fill(photo, removed, iterations=ITERATIONS[0]):
    if not removed.any():
        return photo
    known = (~removed).astype(np.float32)
    if min(removed.shape) > 2:
        size = tuple((side + 1) // 2 for side in removed.shape[::-1])
        weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        colours = cv2.resize(photo * known[..., None], size, interpolation=cv2.INTER_AREA)
        colours = colours.reshape(*weight.shape, -1) / np.maximum(weight, 1e-6)[..., None]
        coarse = _fill(colours, weight < 1e-6, ITERATIONS[1])
        guess = cv2.resize(coarse, removed.shape[::-1], interpolation=cv2.INTER_LINEAR)
        guess = guess.reshape(photo.shape)
    else:
        guess = (photo * known[..., None]).sum((0, 1)) / max(known.sum(), 1)
    return _relax(np.where(removed[..., None], guess, photo), removed[..., None], iterations)


def _relax(values, removed, iterations):
    """Conjugate gradients on `weights of neighbours @ values = 0` at the removed pixels."""
    ones = np.ones_like(values)
    total = _neighbours(ones)
    residual = removed * (_neighbours(values) - total * values)
    direction, norm = residual, np.vdot(residual, residual)
    for _ in range(iterations):
        if norm < 1e-6:
            break
        applied = removed * (total * direction - _neighbours(direction))
        step = norm / np.vdot(direction, applied)
        values = values + step * direction
        residual = residual - step * applied
        norm, before = np.vdot(residual, residual), norm
        direction = residual + (norm / before) * direction
    return values


def _neighbours(values):
    """Sum of the neighbours' values, times their weights 1/6 and 1/12; those outside are 0."""
    kernel = np.float32([0.5, 1, 0.5])
    smooth = cv2.sepFilter2D(values, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return (smooth.reshape(values.shape) - values) / 3


class PerturbedPhoto:
    """Perturbed versions of one photo, numbered as they are asked for; none is made twice.

    Maps that agree on cells, and the ends of all curves, share their versions.

    Args:
        photo: float32 `(height, width, channels)`.
        mean: `(channels,)`, of the baseline "mean".
        random: numpy Generator, of the imputation's noise.
    """

    def __init__(self, photo: np.ndarray, mean: np.ndarray, random: np.random.Generator):
        self._photo = np.asarray(photo, np.float32)
        self._mean = np.asarray(mean, np.float32)
        self._random = random
        self._versions: dict[tuple[str, bytes], int] = {}  # (way, bytes of the grid) -> number
        self._grids: list[tuple[str, np.ndarray]] = []

    def __len__(self):
        return len(self._grids)

    def without(self, way: str, removed: np.ndarray) -> int:
        """Asks for the photo without cells; returns the number of that version.

        Args:
            way: What stands in their place: "mean", "blur" or "impute".
            removed: bool `(rows, columns)`.
        """
        return self._number(way if removed.any() else "clean", removed)

    def multiplied(self, saliency: np.ndarray) -> int:
        """Asks for the photo times its map, scaled to [0, 1], about the mean; returns its number.

        In a network's normalised space, where the mean is 0, that is the product.
        """
        return self._number("multiply", min_max(saliency))

    def _number(self, way, grid):
        key = (way, grid.tobytes())
        if key not in self._versions:
            self._versions[key] = len(self._grids)
            self._grids.append((way, grid))
        return self._versions[key]

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yields all versions in order, float32 `(size, height, width, channels)`.

        The last batch is filled up with its first version: a network compiles for one shape only.
        """
        for start in range(0, len(self._grids), size):
            made = [self._make(*one) for one in self._grids[start : start + size]]
            yield np.stack(made + [made[0]] * (size - len(made)))

    def _make(self, way, grid):
        height, width, _ = self._photo.shape
        if way == "clean":
            return self._photo
        if way == "multiply":
            weights = enlarge(grid, height, width)[..., None].astype(np.float32)
            return self._baseline("mean") * (1 - weights) + self._photo * weights
        removed = fill_cells(grid, height, width)
        if way == "impute":
            noise = self._random.normal(0, IMPUTATION_NOISE, self._photo.shape)
            return impute(self._photo, removed, noise.astype(np.float32))
        return np.where(removed[..., None], self._baseline(way), self._photo)

    def _baseline(self, way):
        return np.broadcast_to(self._mean, self._photo.shape) if way == "mean" else self._blurred

    @cached_property
    def _blurred(self):
        return blur_baseline(self._photo)
