"""Photos are scaled in TensorFlow to the very pixels that Pillow makes."""

import numpy as np
import pytest
import tensorflow as tf
from photo_files import grain
from PIL import Image

from glr_keras.decoding.resampling import _reduce, shrink
from tfrecords.images.decode import convert_photo

SHRINK = tf.function(
    lambda photo: shrink(photo, 64), input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)]
)


@pytest.mark.parametrize(
    "size",
    [
        (65, 65),
        (100, 80),
        (385, 390),  # from here on cells are averaged first
        (1001, 777),
        (64 * 9, 64 * 9 + 1),
        (400, 130),
        (130, 260),  # tall ones are scaled down along their height first
        (130, 262),
        (200, 2500),
        (2500, 200),
    ],
)
def test_a_photo_is_scaled_as_by_pillow(size):
    photo = grain(*size)
    expected = np.asarray(convert_photo(photo.copy(), 64))
    np.testing.assert_array_equal(SHRINK(np.asarray(photo)), expected)


@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 5), (7, 4)])
def test_cells_are_averaged_as_by_pillow(factors):
    photo = grain(59, 41)
    expected = np.asarray(Image.Image.reduce(photo, factors))
    found = _reduce(tf.constant(np.asarray(photo)), tf.constant(factors[::-1]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(20, 30, 3), (64, 300, 3), (64, 64, 3)])
def test_a_small_photo_keeps_its_size(shape):
    photo = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.uint8)
    np.testing.assert_array_equal(SHRINK(photo), photo)
