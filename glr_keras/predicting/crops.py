"""Several crops of a photo in place of its centre: for landmarks that fill a part of the view."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from glr_keras.data.views import CENTER_FRACTION, eval_window
from tfrecords.images.decode import PhotoError, decode_photo
from tfrecords.images.photo_file import read_photo_file

SCALES = (1.0, 0.5)  # sides of the crops, by the short side of the photo
MAX_STEP = 0.75  # from one crop to the next, by its side
MAX_ASPECT = 4.0  # of a photo; of longer ones, the middle is searched
RESOLUTION = 2  # times the short side of the records, so that the smallest crop is as sharp


def best_crops(
    ask: Callable[[list[np.ndarray]], list],
    photos: Sequence,
    short_side: int,
    framing: str,
    batch_size: int = 32,
) -> list:
    """Answers for each photo with the part, its usual view among them, that scores highest.

    Args:
        ask: From photos, uint8 arrays `(height, width, 3)`, to a `Prediction` of each.
        photos: Paths, or arrays of `RESOLUTION` times the short side.
        short_side: Int, pixels; of the records that the model has learned from.
        framing: What the model sees of a photo, see `data.views.eval_view`.
        batch_size: Int, crops per call of `ask`.

    Returns:
        For each photo its prediction with `box`, or a key of `types.REASONS`.
    """

    def answer(photo):
        try:
            if not isinstance(photo, np.ndarray):
                photo = decode_photo(read_photo_file(photo), RESOLUTION * short_side)
        except PhotoError as error:
            return error.reason
        boxes, crops = zip(*crops_of(np.asarray(photo), framing), strict=True)
        answers: list = []
        for start in range(0, len(crops), batch_size):
            answers += ask(list(crops[start : start + batch_size]))
        best = max(range(len(answers)), key=lambda number: answers[number].scores[0])
        # The best of many crops is surer than one view: p-values are of the usual view only.
        others = {} if best == 0 else {"is_landmark": None, "p_value": None}
        return dataclasses.replace(answers[best], box=boxes[best], **others)

    return [answer(photo) for photo in photos]


def crops_of(pixels: np.ndarray, framing: str) -> Iterator[tuple[tuple[float, ...], np.ndarray]]:
    """Yields crops of a photo: the whole photo, then squares that cover it, large ones first.

    A model that sees the centre only gets squares with a margin, which it does not see; outside of
    the photo, that is its border, repeated.

    Args:
        pixels: uint8 array `(height, width, 3)`.
        framing: What the model sees of what it is given.

    Yields:
        Box `(ymin, xmin, ymax, xmax)` in [0, 1] of what the model sees; uint8 array.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    yield tuple(round(float(end), 3) for end in eval_window(height, width, framing)), pixels
    for scale in SCALES:
        side = round(short * scale)
        margin = 0
        if framing == "center":
            margin = math.ceil(side * (1 / CENTER_FRACTION - 1) / 2)
        padded = np.pad(pixels, [(margin, margin), (margin, margin), (0, 0)], "edge")
        for top in _starts(height, side, short):
            for left in _starts(width, side, short):
                crop = padded[top : top + side + 2 * margin, left : left + side + 2 * margin]
                yield _box(top, left, side, height, width), crop


def _starts(length, side, short):
    """Where crops begin along an axis: evenly, from one end to the other."""
    covered = min(length, int(MAX_ASPECT * short))
    count = 1 + math.ceil((covered - side) / (MAX_STEP * side))
    first = (length - covered) / 2
    return [round(start) for start in np.linspace(first, first + covered - side, count)]


def _box(top, left, side, height, width):
    ends = (top / height, left / width, (top + side) / height, (left + side) / width)
    return tuple(round(end, 3) for end in ends)
