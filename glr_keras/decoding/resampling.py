"""Scales photos down inside a TensorFlow graph, to the last bit as Pillow does for the records.

Reference:
- [Pillow](https://github.com/python-pillow/Pillow), src/libImaging/Resample.c and Reduce.c
"""

import math

import PIL
import tensorflow as tf

SUPPORT = 3.0  # of the Lanczos filter, in pixels of the result
PRECISION = 22  # bits of Pillow's coefficients
REDUCING_GAP = 3  # pixels of a cell are averaged first where each side shrinks by twice as much
# Pillow scales along the rows first; since 13.0 along the columns, where these lose much more.
HAS_TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13


def shrink(photo: tf.Tensor, short_side: int) -> tf.Tensor:
    """Scales a photo down to a short side; a smaller one keeps its size.

    Args:
        photo: uint8 Tensor `(height, width, channels)`.
        short_side: Int, pixels.

    Returns:
        uint8 Tensor `(height, width, channels)`, what `tfrecords.images.decode` makes of it.
    """
    sides = tf.shape(photo)[:2]
    shortest = tf.reduce_min(sides)

    def scale():
        scaled = tf.cast(sides, tf.float64) * (short_side / shortest)
        size = tf.maximum(short_side, tf.cast(tf.round(scaled), tf.int32))
        factors = tf.maximum(tf.cast(sides / size / REDUCING_GAP, tf.int32), 1)
        box = tf.cast(sides / factors, tf.float32)  # as Pillow keeps it
        reduced = tf.cond(
            tf.reduce_any(factors > 1), lambda: _reduce(photo, factors), lambda: photo
        )
        height, width = tf.unstack(tf.shape(reduced)[:2] - size)
        return tf.cond(  # the order matters: values are rounded between the two
            HAS_TALL_FIRST & (height > 2 * width),
            lambda: _resample_rows(_resample(reduced, size[0], box[0]), size[1], box[1]),
            lambda: _resample(_resample_rows(reduced, size[1], box[1]), size[0], box[0]),
        )

    return tf.cond(shortest > short_side, scale, lambda: photo)


def _resample_rows(photo, size, length):
    turned = tf.transpose(photo, [1, 0, 2])
    return tf.transpose(_resample(turned, size, length), [1, 0, 2])


def _resample(photo, size, length):
    """Resamples the first axis to `size`; of it, `length` counts, a fraction of a pixel less."""
    count = tf.shape(photo)[0]
    scale = tf.cast(length, tf.float64) / tf.cast(size, tf.float64)  # at least 1
    support = SUPPORT * scale
    centers = (tf.range(size, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centers - support + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(centers + support + 0.5, tf.int32), count)
    taps = tf.range(2 * tf.cast(tf.math.ceil(support), tf.int32) + 1)
    places = first[:, None] + taps
    distances = (tf.cast(places, tf.float64) - centers[:, None] + 0.5) * (1 / scale)
    weights = tf.where(places < last[:, None], _lanczos(distances), 0)
    weights = weights * (1 / tf.reduce_sum(weights, 1, keepdims=True)) * 2.0**PRECISION
    weights = tf.cast(tf.where(weights < 0, weights - 0.5, weights + 0.5), tf.int32)
    rows = tf.broadcast_to(tf.range(size)[:, None], tf.shape(places))
    indices = tf.stack([rows, tf.minimum(places, count - 1)], -1)
    matrix = tf.SparseTensor(
        tf.cast(tf.reshape(indices, [-1, 2]), tf.int64),
        tf.reshape(weights, [-1]),
        tf.cast([size, count], tf.int64),
    )
    flat = tf.reshape(tf.cast(photo, tf.int32), [count, -1])
    sums = tf.sparse.sparse_dense_matmul(matrix, flat) + 2 ** (PRECISION - 1)
    values = tf.clip_by_value(tf.bitwise.right_shift(sums, PRECISION), 0, 255)
    return tf.reshape(tf.cast(values, tf.uint8), tf.concat([[size], tf.shape(photo)[1:]], 0))


def _lanczos(x):
    return tf.where(tf.abs(x) < SUPPORT, _sinc(x) * _sinc(x / SUPPORT), 0)


def _sinc(x):
    angle = tf.where(x == 0, tf.ones_like(x), x * math.pi)
    return tf.where(x == 0, tf.ones_like(x), tf.sin(angle) / angle)


def _reduce(photo, factors):
    """Averages cells of pixels; those at the lower and right edges may have fewer."""
    photo = tf.cast(photo, tf.int64)
    sums, counts = _sum_cells(photo, factors[0])
    sums, widths = _sum_cells(tf.transpose(sums, [1, 0, 2]), factors[1])
    pixels = (counts[:, None] * widths)[..., None]
    # Pillow multiplies by a rounded reciprocal.
    means = (tf.transpose(sums, [1, 0, 2]) + pixels // 2) * (2**24 // pixels) // 2**24
    return tf.cast(means, tf.uint8)


def _sum_cells(photo, factor):
    cells = tf.range(tf.shape(photo)[0]) // factor
    ones = tf.ones_like(cells, tf.int64)
    return tf.math.segment_sum(photo, cells), tf.math.segment_sum(ones, cells)
