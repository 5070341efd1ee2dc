"""Maps on grids of cells: enlarged, reduced, ordered, and the control maps that know no photo."""

from collections.abc import Collection, Sequence

import cv2
import numpy as np

CENTER_SIGMA = 0.25  # of the map's side; standard deviation of the centre Gaussian
BLUR_SIGMA = 1.0  # cells; of a blurred map


def fill_cells(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges `(rows, columns)` to `(height, width)`; a pixel has the value of its cell."""
    rows, columns = values.shape
    return values[np.arange(height) * rows // height][:, np.arange(width) * columns // width]


def enlarge(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges `(rows, columns)` bilinearly to `(height, width)`, each value at its cell's centre.

    Outside of the outermost centres the value stays that of the border cell.
    """
    return cv2.resize(
        np.asarray(values, np.float64), (width, height), interpolation=cv2.INTER_LINEAR
    )


def coarsest_grid(maps: Collection[np.ndarray]) -> tuple[int, int]:
    """Returns the fewest rows and the fewest columns among maps `(photos, rows, columns)`."""
    return min(one.shape[1] for one in maps), min(one.shape[2] for one in maps)


def to_grid(maps: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Brings maps to another grid: averaged by area where that is coarser, else bilinear.

    Args:
        maps: `(photos, height, width)`.
        rows, columns: Int, of the new grid.

    Returns:
        float64 `(photos, rows, columns)`.
    """
    maps = np.asarray(maps, np.float64)
    if maps.shape[1:] == (rows, columns):
        return maps
    if rows > maps.shape[1] or columns > maps.shape[2]:
        return np.stack([enlarge(one, rows, columns) for one in maps])
    return np.einsum(
        "rh,nhw,cw->nrc", _overlaps(rows, maps.shape[1]), maps, _overlaps(columns, maps.shape[2])
    )


def _overlaps(coarse, fine):
    """Fraction of each coarse cell that each fine cell fills: rows add up to 1."""
    starts = np.arange(coarse)[:, None] * fine / coarse
    return _filled(starts, starts + fine / coarse, fine) * coarse / fine


def _filled(start, end, cells):
    """Fraction of each of `cells` along an axis that what lies from `start` to `end` fills."""
    numbers = np.arange(cells)
    return np.clip(np.minimum(end, numbers + 1) - np.maximum(start, numbers), 0, 1)


def box_to_grid(box: Sequence[float], rows: int, columns: int) -> np.ndarray:
    """Returns the fraction of each cell that a box fills.

    Args:
        box: (ymin, xmin, ymax, xmax) in [0, 1] of what the grid lies on.
        rows, columns: Int, of the grid.

    Returns:
        float64 `(rows, columns)` in [0, 1].
    """
    ymin, xmin, ymax, xmax = box
    in_rows = _filled(ymin * rows, ymax * rows, rows)
    return in_rows[:, None] * _filled(xmin * columns, xmax * columns, columns)


def removal_order(saliency: np.ndarray, tie_break: np.ndarray) -> np.ndarray:
    """Returns flat cell indices, the most salient first; equal ones in the order of `tie_break`.

    Grad-CAM is 0 in many cells. In reading order, those at the top, the sky, would always go first.
    """
    return np.lexsort((tie_break.ravel(), -saliency.ravel()))


def min_max(saliency: np.ndarray) -> np.ndarray:
    """Scales one map to [0, 1]; a map of one value becomes 0."""
    low, high = saliency.min(), saliency.max()
    return (saliency - low) / (high - low) if high > low else np.zeros_like(saliency)


def center_map(rows: int, columns: int) -> np.ndarray:
    """Gaussian in the middle: what photographers do, without any model."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (rows, columns))
    return np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * CENTER_SIGMA**2))


def blur_maps(maps: np.ndarray) -> np.ndarray:
    """Gaussian blur of `BLUR_SIGMA` cells, since smooth maps score better whatever they show."""
    maps = np.asarray(maps, np.float64)
    return np.stack([cv2.GaussianBlur(one, (0, 0), BLUR_SIGMA) for one in maps])


def control_maps(photos: int, grid: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
    """Returns maps that any map should beat.

    Args:
        photos: Int, how many maps of each kind.
        grid: (rows, columns).
        seed: Int, of the random maps.

    Returns:
        Dict: "centre" (the same Gaussian for all) and "random" (uniform noise), both float64
        `(photos, rows, columns)`.
    """
    noise = np.random.default_rng(seed).random((photos, *grid))
    return {"centre": np.repeat(center_map(*grid)[None], photos, 0), "random": noise}
