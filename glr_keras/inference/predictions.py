"""What a model says of a photo."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a photo shows.

    Attributes:
        landmarks: Names, the most likely first.
        scores: Their probabilities, float32 array.
        probabilities: float32 array `(landmarks,)`, of all, in label order.
        is_landmark: Bool, whether it shows a known landmark at all; None where the model can't say,
            as those of earlier versions.
        p_value: Float in (0, 1], how usual such an answer is for photos of known landmarks: of so
            large a fraction of them it is at most as sure. None as above.
        box: (ymin, xmin, ymax, xmax) in [0, 1]: which part of the upright photo the answer is of,
            where several were tried; None: its usual view.
    """

    landmarks: list[str]
    scores: np.ndarray
    probabilities: np.ndarray
    is_landmark: bool | None = dataclasses.field(default=None, kw_only=True)
    p_value: float | None = dataclasses.field(default=None, kw_only=True)
    box: tuple[float, ...] | None = dataclasses.field(default=None, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Explanation(Prediction):
    """A prediction, and where the model looked.

    Attributes:
        attention_map: float32 array `(rows, columns)` in [0, 1], on the view; that of a landmark
            where one was asked for.
        view: float32 array `(image_size, image_size, 3)` in [0, 255]: the centre of the upright
            photo, 7/8 of its short side, as the model saw it.
    """

    attention_map: np.ndarray
    view: np.ndarray
