"""One photo -> one square view: rotation, crop and flip as a single affine resampling.

A training view is a pure function of (photo_id, view number, seed, settings): its random numbers
come from a counter-based generator keyed by them, so any view can be made again, in any order, on
any machine.
"""

import math

import tensorflow as tf

from glr_keras.config import FitConfig

VIEW_SHARE = (
    224 / 256
)  # the report cuts a 224-pixel view out of a short side of 256; exact in binary
ASPECT_RATIOS = (
    3 / 4,
    4 / 3,
)  # of a random crop, before it is resized to a square (as torchvision)
MAX_OVERSAMPLING = 8  # times per side; a 2,000-pixel crop in a 224-pixel view needs 9


def eval_view(photo: tf.Tensor, image_size: int) -> tf.Tensor:
    """Cuts the centre out of a photo, scaled so that its short side is 256/224 of the view's.

    Args:
        photo: uint8 Tensor `(height, width, 3)`, RGB.
        image_size: Int, side of the view in pixels.

    Returns:
        float32 Tensor `(image_size, image_size, 3)` in [0, 255]. Where the photo's short side is
        256 and `image_size` 224, these are the photo's own pixels.
    """
    height, width = _sides(photo)
    side = tf.minimum(height, width) * VIEW_SHARE
    # Whole pixels, so that a view of the photo's own scale needs no interpolation.
    top = tf.floor((height - side) / 2)
    left = tf.floor((width - side) / 2)
    return _resample(photo, left + side / 2, top + side / 2, side, side, 0.0, 1.0, image_size)


def train_view(
    photo: tf.Tensor, photo_id: tf.Tensor, view: int | tf.Tensor, config: FitConfig
) -> tf.Tensor:
    """Makes augmented view number `view`: random crop, rotation, flip, then brightness.

    The crop lies inside the photo; when the window is then turned about its centre, corners that
    fall outside are filled with the photo's mirror image. (Black corners would tell the angle and
    are no part of any photo; a crop small enough to need no filling would lose the landmark.)

    Args:
        photo: uint8 Tensor `(height, width, 3)`, RGB.
        photo_id: string Tensor, scalar.
        view: Int or int64 Tensor, number of the view.
        config: FitConfig; its seed, image_size, rotation, min_crop_area, brightness and flip.

    Returns:
        float32 Tensor `(image_size, image_size, 3)` in [0, 255].
    """
    area, ratio, across, down, turn, mirror, light = tf.unstack(_uniforms(photo_id, view, config))
    height, width = _sides(photo)
    area = (config.min_crop_area + area * (1 - config.min_crop_area)) * height * width
    # Only shapes of that area that fit into the photo are drawn; cutting others off would make
    # crops smaller than promised. A panorama has none, and there the crop is smaller.
    low = tf.clip_by_value(area / height**2, *ASPECT_RATIOS)
    high = tf.clip_by_value(width**2 / area, *ASPECT_RATIOS)
    ratio = low * (high / low) ** ratio  # log-uniform, as torchvision's
    crop_width = tf.minimum(tf.sqrt(area * ratio), width)
    crop_height = tf.minimum(tf.sqrt(area / ratio), height)
    center_x = crop_width / 2 + across * (width - crop_width)
    center_y = crop_height / 2 + down * (height - crop_height)
    angle = (2 * turn - 1) * math.radians(config.rotation)
    direction = tf.where((mirror < 0.5) & config.flip, -1.0, 1.0)
    square = _resample(
        photo, center_x, center_y, crop_width, crop_height, angle, direction, config.image_size
    )
    return tf.clip_by_value(square * (1 + (2 * light - 1) * config.brightness), 0, 255)


def _uniforms(photo_id, view, config):
    """Seven numbers in [0, 1) that depend on the photo, the view and the seed alone."""
    photo_key = tf.strings.to_hash_bucket_fast(photo_id, 2**63 - 1)
    view_key = tf.constant(config.seed_of_features * 2**32, tf.int64) + tf.cast(view, tf.int64)
    return tf.random.stateless_uniform([7], tf.stack([photo_key, view_key]), alg="philox")


def _sides(photo):
    shape = tf.cast(tf.shape(photo), tf.float32)
    return shape[0], shape[1]


def _resample(photo, center_x, center_y, width, height, angle, direction, image_size):
    """Shows the turned window of `photo` as a square, with one interpolation.

    The window is centred at (center_x, center_y), `width` by `height` photo pixels, turned by
    `angle` radians; `direction` -1 mirrors it. A window larger than the view is sampled several
    times per pixel and averaged, which stands in for the low-pass filter.
    """
    factor = tf.clip_by_value(tf.round(tf.maximum(width, height) / image_size), 1, MAX_OVERSAMPLING)
    samples = tf.cast(factor, tf.int32) * image_size
    step_x = direction * width / tf.cast(samples, tf.float32)
    step_y = height / tf.cast(samples, tf.float32)
    cos, sin = tf.cos(angle), tf.sin(angle)
    matrix = [cos * step_x, -sin * step_y, sin * step_x, cos * step_y]
    # Sample (i, j) has its centre at i + 1/2; the window's centre is sample number samples / 2.
    middle = (tf.cast(samples, tf.float32) - 1) / 2
    offset_x = center_x - 0.5 - (matrix[0] + matrix[1]) * middle
    offset_y = center_y - 0.5 - (matrix[2] + matrix[3]) * middle
    transform = tf.stack([*matrix[:2], offset_x, *matrix[2:], offset_y, 0.0, 0.0])
    square = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(photo, tf.float32)[None],
        transforms=transform[None],
        output_shape=tf.stack([samples, samples]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.cond(factor > 1, lambda: _average(square, image_size), lambda: square[0])


def _average(square, image_size):
    """Averages cells of samples to pixels: rows first, in whose order they lie in memory."""
    factor = tf.shape(square)[1] // image_size
    rows = tf.reduce_mean(tf.reshape(square, [image_size, factor, -1]), 1)
    return tf.reduce_mean(tf.reshape(rows, [image_size, image_size, factor, 3]), 2)
