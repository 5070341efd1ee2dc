"""Whether a map lies on the landmark, where its box is known. Chance is the box's area, or 1/2."""

import numpy as np

from glr_keras.saliency.grids import enlarge

SAMPLES = 112  # pixels along each side on which map and box are compared


def localization(saliency: np.ndarray, box: np.ndarray) -> dict[str, float]:
    """Compares one map with the box of its landmark.

    Args:
        saliency: `(rows, columns)`, not negative.
        box: `(ymin, xmin, ymax, xmax)` in [0, 1] of what the map lies on.

    Returns:
        Dict: "pointing" (1 where the centre of the map's highest cell lies in the box; equal cells
        count a part each), "inside" (fraction of the map's sum that lies in the box), "box_auc"
        (probability that a pixel in the box has a higher value than one outside, equal ones half)
        and "box_area" (what "inside" of a constant map and "pointing" of a random one would be).
        All but the area are NaN where the box holds no pixel, or each.
    """
    rows, columns = saliency.shape
    in_box = in_box_at(box, SAMPLES, SAMPLES)
    area = box_area(box)
    if not 0 < in_box.mean() < 1:
        return {"pointing": np.nan, "inside": np.nan, "box_auc": np.nan, "box_area": area}
    smooth = enlarge(saliency, SAMPLES, SAMPLES)
    highest = saliency == saliency.max()
    total = smooth.sum()
    return {
        "pointing": float(in_box_at(box, rows, columns)[highest].mean()),
        "inside": float(smooth[in_box].sum() / total) if total > 0 else float(in_box.mean()),
        "box_auc": rank_auc(smooth[in_box], smooth[~in_box]),
        "box_area": area,
    }


def in_box_at(box: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Returns which cell centres of a grid lie in `box`: bool `(rows, columns)`."""
    ymin, xmin, ymax, xmax = box
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    return ((y >= ymin) & (y < ymax))[:, None] & ((x >= xmin) & (x < xmax))[None]


def box_area(box: np.ndarray) -> float:
    """Fraction of the square that `box` fills; 0 where the box is unknown."""
    ymin, xmin, ymax, xmax = (float(side) for side in box)
    return max(ymax - ymin, 0.0) * max(xmax - xmin, 0.0)


def rank_auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Area under the ROC curve (Mann-Whitney): equal values count half."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    not_above = np.searchsorted(ordered, positives, "right")
    return float((below + not_above).mean() / (2 * len(negatives)))


def box_in_view(box: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Moves a box from fractions of the photo to fractions of a square in it, cut to that.

    Args:
        box: `(ymin, xmin, ymax, xmax)` in [0, 1] of the photo; all 0 where unknown.
        square: The same of the square that the model sees.

    Returns:
        float64 `(4,)`; all 0 where the box is unknown or lies outside of the square.
    """
    top, left, bottom, right = square
    moved = np.asarray(box, float) - (top, left, top, left)
    moved = np.clip(moved / (bottom - top, right - left, bottom - top, right - left), 0, 1)
    return moved if box_area(moved) > 0 else np.zeros(4)
