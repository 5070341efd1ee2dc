"""One photo -> one square view: rotation, crop and flip as a single affine resampling.

A training view is a pure function of (photo_id, view number, seed, settings): its random numbers
come from a counter-based generator keyed by them, so any view can be made again, in any order, on
any machine. Training views are resampled by OpenCV, in a tenth of the time that TensorFlow takes;
eval views by TensorFlow, because an exported model makes them as well.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import tensorflow as tf

from glr_keras.config import FitConfig

CENTER_FRACTION = 224 / 256  # of the short side, as in ImageNet's evaluation; exact in binary
ASPECT_RATIOS = (3 / 4, 4 / 3)  # of a crop, before it is resized to a square (as torchvision)
MAX_OVERSAMPLING = 8  # times per side; a 2,000-pixel crop in a 224-pixel view needs 9


def make_view(
    photo: tf.Tensor, photo_id: tf.Tensor, view: int | tf.Tensor | None, config: FitConfig
) -> tf.Tensor:
    """Makes one view of a photo.

    Args:
        photo, photo_id: As in `train_view`.
        view: Number of a training view, of which 0 is not augmented where `config.plain_view`; None
            for the eval view.
        config: FitConfig; its image_size, framing, plain_view and what `train_view` takes of it.

    Returns:
        float32 Tensor `(image_size, image_size, 3)` in [0, 255].
    """

    def plain():
        return eval_view(photo, config.image_size, config.framing)

    def augmented():
        return train_view(photo, photo_id, view, config)

    if view is None:
        return plain()
    if not config.plain_view:
        return augmented()
    return tf.cond(tf.equal(view, 0), plain, augmented)


def eval_view(photo: tf.Tensor, image_size: int, framing: str) -> tf.Tensor:
    """Makes the view that a model is measured and asked on.

    Args:
        photo: uint8 Tensor `(height, width, 3)`, RGB.
        image_size: Int, side of the view in pixels.
        framing: "whole": all of the photo, resized to the square; or "center": its central square
            of 224/256 of the short side.

    Returns:
        float32 Tensor `(image_size, image_size, 3)` in [0, 255]. Where the window has the view's
        own size, these are the photo's own pixels.
    """
    photo = tf.ensure_shape(photo, [None, None, 3])
    window = _eval_window(tf.cast(tf.shape(photo)[:2], tf.float32), framing)
    view = tf.cond(
        tf.reduce_all(window == tf.cast(image_size, tf.float32)),
        lambda: _crop(photo, image_size),
        lambda: _resample(photo, window, image_size),
    )
    return tf.ensure_shape(view, [image_size, image_size, 3])


def eval_window(height: int, width: int, framing: str) -> np.ndarray:
    """Returns where in a photo its eval view lies: float64 (ymin, xmin, ymax, xmax) in [0, 1].

    Args:
        height, width: Of the photo, in pixels.
        framing: See `eval_view`.
    """
    if framing == "whole":
        return np.array([0.0, 0.0, 1.0, 1.0])
    side = CENTER_FRACTION * min(height, width)
    top, left = np.floor((height - side) / 2), np.floor((width - side) / 2)
    return np.array([top / height, left / width, (top + side) / height, (left + side) / width])


def train_view(
    photo: tf.Tensor, photo_id: tf.Tensor, view: int | tf.Tensor, config: FitConfig
) -> tf.Tensor:
    """Makes augmented view number `view`: random crop, rotation, flip, then brightness.

    The crop lies inside the photo; when the window is then turned about its centre, corners that
    fall outside are filled with the photo's mirror image. (Black corners would give the angle away
    and are no part of any photo; a crop small enough to need no filling would lose the landmark.)

    Args:
        photo: uint8 Tensor `(height, width, 3)`, RGB.
        photo_id: string Tensor, scalar.
        view: Int or int64 Tensor, number of the view.
        config: FitConfig; its seed, image_size, rotation, min_crop_area, brightness and flip.

    Returns:
        float32 Tensor `(image_size, image_size, 3)` in [0, 255].
    """
    square = tf.numpy_function(
        functools.partial(_train_view, config=config),
        [photo, _uniforms(photo_id, view, config)],
        tf.float32,
        stateful=False,
    )
    return tf.ensure_shape(square, [config.image_size, config.image_size, 3])


@dataclass(frozen=True)
class Window:
    """What a training view shows of a photo: a rectangle, turned about its centre.

    Attributes:
        center: (x, y) in pixels of the photo, from its upper left corner.
        size: (width, height) in pixels of the photo.
        angle: In radians; positive turns the window clockwise.
        is_mirrored: Whether left and right are exchanged.
    """

    center: tuple[float, float]
    size: tuple[float, float]
    angle: float
    is_mirrored: bool

    def matrix(self, samples: int) -> np.ndarray:
        """Returns the affine map from samples of the view to pixels of the photo.

        A square of `samples` x `samples` spans the window: with steps d = (d_x, d_y) between
        samples and the rotation R, sample (i, j) lies at center + R ((i, j) + 1/2 - samples / 2) d.
        OpenCV counts from the centre of the first pixel, hence another 1/2.

        Returns:
            float64 `(2, 3)`, as `cv2.warpAffine` takes it with `WARP_INVERSE_MAP`.
        """
        direction = -1 if self.is_mirrored else 1
        step_x, step_y = direction * self.size[0] / samples, self.size[1] / samples
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        linear = np.array([[cos * step_x, -sin * step_y], [sin * step_x, cos * step_y]])
        offset = np.array(self.center) - 0.5 - linear.sum(1) * (samples - 1) / 2
        return np.column_stack([linear, offset])


def _uniforms(photo_id, view, config):
    """Seven numbers in [0, 1) that depend on the photo, the view and the seed alone."""
    photo_key = tf.strings.to_hash_bucket_fast(photo_id, 2**63 - 1)
    view_key = tf.constant(config.seed_of_features * 2**32, tf.int64) + tf.cast(view, tf.int64)
    return tf.random.stateless_uniform([7], tf.stack([photo_key, view_key]), alg="philox")


def _train_view(photo: np.ndarray, uniforms: np.ndarray, config: FitConfig) -> np.ndarray:
    *of_window, light = uniforms.tolist()
    height, width = photo.shape[:2]
    window = draw_window(of_window, height, width, config)
    size = config.image_size
    factor = min(max(round(max(window.size) / size), 1), MAX_OVERSAMPLING)
    samples = factor * size
    square = cv2.warpAffine(
        photo.astype(np.float32),
        window.matrix(samples),
        (samples, samples),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    if factor > 1:  # averages cells of samples to pixels
        square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
    square *= 1 + (2 * light - 1) * config.brightness
    return np.minimum(square, 255, out=square)


def draw_window(uniforms: Sequence[float], height: int, width: int, config: FitConfig) -> Window:
    """Draws the window of a view.

    Args:
        uniforms: Six numbers in [0, 1): for area, aspect ratio, place across and down, angle and
            mirroring.
        height, width: Of the photo, in pixels.
        config: FitConfig; its min_crop_area, rotation and flip.
    """
    of_area, of_ratio, across, down, of_angle, of_mirror = uniforms
    area = (config.min_crop_area + of_area * (1 - config.min_crop_area)) * height * width
    # Only shapes of that area that fit into the photo are drawn; cutting others off would make
    # crops smaller than promised. A panorama has none, and there the crop is smaller.
    low, high = np.clip([area / height**2, width**2 / area], *ASPECT_RATIOS).tolist()
    ratio = low * (high / low) ** of_ratio  # log-uniform, as torchvision's
    crop_width = min(math.sqrt(area * ratio), width)
    crop_height = min(math.sqrt(area / ratio), height)
    center_x = crop_width / 2 + across * (width - crop_width)
    center_y = crop_height / 2 + down * (height - crop_height)
    angle = (2 * of_angle - 1) * math.radians(config.rotation)
    is_mirrored = config.flip and of_mirror < 0.5
    return Window((center_x, center_y), (crop_width, crop_height), angle, is_mirrored)


def _crop(photo, image_size):
    """Cuts the window out of a photo of the view's own scale: the same as `_resample`, but fast."""
    top, left = tf.unstack((tf.shape(photo)[:2] - image_size) // 2)
    return tf.cast(photo[top : top + image_size, left : left + image_size], tf.float32)


def _eval_window(shape, framing):
    """Height and width of the central window that an eval view shows, in pixels of the photo."""
    if framing == "whole":
        return shape
    if framing != "center":
        raise ValueError(f"framing must be whole or center, got {framing!r}")
    return tf.repeat(tf.reduce_min(shape) * CENTER_FRACTION, 2)


def _resample(photo, window, image_size):
    """Shows the central `window` (height, width) of `photo` as a square, with one interpolation.

    A side longer than the view's is sampled several times per pixel and averaged, which stands in
    for the low-pass filter.
    """
    # Whole pixels, so that a view of the photo's own scale is a crop.
    start = tf.floor((tf.cast(tf.shape(photo)[:2], tf.float32) - window) / 2)
    factors = tf.clip_by_value(tf.round(window / image_size), 1, MAX_OVERSAMPLING)
    samples = tf.cast(factors, tf.int32) * image_size
    step = window / tf.cast(samples, tf.float32)
    # Sample i has its centre at i + 1/2.
    offset = start + step / 2 - 0.5
    zero = tf.zeros([])
    transform = tf.stack([step[1], zero, offset[1], zero, step[0], offset[0], zero, zero])
    square = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(photo, tf.float32)[None],
        transforms=transform[None],
        output_shape=samples,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    more = tf.reduce_max(factors) > 1
    return tf.cond(more, lambda: _average(square, image_size), lambda: square[0])


def _average(square, image_size):
    """Averages cells of samples to pixels: rows first, in whose order they lie in memory."""
    of_rows, of_columns = tf.unstack(tf.shape(square)[1:3] // image_size)
    rows = tf.reduce_mean(tf.reshape(square, [image_size, of_rows, -1]), 1)
    return tf.reduce_mean(tf.reshape(rows, [image_size, image_size, of_columns, 3]), 2)
