"""Bytes of photos -> the views that a model sees, in TensorFlow alone, so that an export holds it.

A file is treated as `tfrecords.images.decode` treats it, to the last bit: made RGB, turned upright,
scaled down to the records' short side. Files of which TensorFlow would make something else are
refused. What is left out is the JPEG compression of records.
"""

from functools import lru_cache, partial

import tensorflow as tf

from glr_keras.data.tracing import as_written
from glr_keras.data.views import eval_view
from glr_keras.decoding.accepted_files import inspect
from glr_keras.decoding.resampling import shrink

SCALES = (1, 2, 4, 8)  # by which libjpeg shrinks a photo while it decodes


@lru_cache(maxsize=8)
def view_decoder(image_size: int, short_side: int, framing: str) -> tf.function:
    """Returns `decode_views` of these settings as a function from `image_bytes` that has its graph.

    To trace that graph takes seconds, most of them for the inspection of files: all that decodes
    files so in a process calls the same one.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    @as_written
    def decode(image_bytes):
        return decode_views(image_bytes, image_size, short_side, framing)

    return decode


@lru_cache(maxsize=8)
def bitmap_decoder(image_size: int, framing: str) -> tf.function:
    """Returns a function from BMP files that `inference.photo_inputs.read_photo` made to views.

    They need no inspection: its graph is traced in a tenth of a second rather than in three.

    Args:
        image_size, framing: As for `decode_views`.

    Returns:
        Function from `image_bytes`, string Tensor `(batch,)`, to float32 Tensor `(batch,
        image_size, image_size, 3)` in [0, 255]: what `decode_views` makes of them, too.
    """

    def view(contents):
        return eval_view(tf.io.decode_bmp(contents, channels=3), image_size, framing)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    @as_written
    def decode(image_bytes):
        views = tf.TensorSpec([image_size, image_size, 3], tf.float32)
        return tf.map_fn(view, image_bytes, fn_output_signature=views)

    return decode


def decode_views(
    image_bytes: tf.Tensor, image_size: int, short_side: int, framing: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of files on all cores and cuts the eval view out of each.

    A file that does not decode, or is refused, is left out, so that it does not cost the others.

    Args:
        image_bytes: string Tensor `(batch,)`: JPEG, PNG, WebP, BMP, or GIF (the first frame), of a
            kind that `glr_keras.decoding.accepted_files` accepts.
        image_size: Int, side of a view in pixels.
        short_side: Int, pixels; of the records that the model has learned from.
        framing: "whole" or "center", see `data.views.eval_view`.

    Returns:
        views: float32 Tensor `(decoded, image_size, image_size, 3)` in [0, 255].
        places: int64 Tensor `(decoded,)`, ascending: where in the batch each comes from.
    """
    count = tf.size(image_bytes, out_type=tf.int64)
    files = tf.data.Dataset.from_tensor_slices((image_bytes, tf.range(count)))

    def view(contents, place):
        return decode_view(contents, image_size, short_side, framing), place

    views = files.map(view, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # A batch of which nothing is left would be an error: one more view, dropped below, is always.
    blank = (tf.zeros([image_size, image_size, 3]), tf.constant(-1, tf.int64))
    views = views.ignore_errors().concatenate(tf.data.Dataset.from_tensors(blank))
    options = tf.data.Options()
    options.autotune.enabled = False  # a thread per request, slow to stop; parallel all the same
    options.experimental_optimization.apply_default_optimizations = False  # they cost more here
    views, places = views.batch(count + 1).with_options(options).get_single_element()
    return views[:-1], places[:-1]


def decode_view(contents: tf.Tensor, image_size: int, short_side: int, framing: str) -> tf.Tensor:
    """Decodes one file and cuts its eval view: float32 `(image_size, image_size, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: at run time, where it does not decode, or is of a kind that
            TensorFlow decodes otherwise than the build: see `glr_keras.decoding.accepted_files`.
    """
    is_accepted, orientation, is_jpeg = inspect(contents)
    check = tf.debugging.Assert(is_accepted, ["a file that TensorFlow would decode otherwise"])
    with tf.control_dependencies([check]):
        contents = tf.identity(contents)
    photo = tf.cond(
        is_jpeg, lambda: _decode_jpeg(contents, short_side), lambda: _decode_other(contents)
    )
    photo = shrink(turn_upright(photo, orientation), short_side)
    return eval_view(photo, image_size, framing)


def turn_upright(photo: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation, 1 to 8, to a photo `(height, width, 3)`."""

    def where(values, change, photo):
        return tf.cond(tf.reduce_any(orientation == values), lambda: change(photo), lambda: photo)

    photo = where([5, 6, 7, 8], partial(tf.transpose, perm=[1, 0, 2]), photo)
    photo = where([2, 3, 6, 7], partial(tf.reverse, axis=[1]), photo)
    return where([3, 4, 7, 8], partial(tf.reverse, axis=[0]), photo)


def _decode_jpeg(contents, short_side):
    height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(contents), 3)
    # As Pillow's draft mode in `tfrecords.images.decode`: twice the short side is left for the
    # filter.
    spare = tf.minimum(height, width) // (2 * short_side)
    scale = tf.reduce_sum(tf.cast(spare >= SCALES[1:], tf.int32))
    decode = partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.switch_case(scale, [partial(decode, contents, ratio=ratio) for ratio in SCALES])


def _decode_other(contents):
    # Asked for more channels than there are, TensorFlow 2.21 refuses a WebP, and gives a palette of
    # few colours another transparency: so the channels are those of the file.
    photo = tf.io.decode_image(contents, expand_animations=False)
    channels = tf.shape(photo)[2]
    is_grey = channels < 3
    color = tf.cond(is_grey, lambda: tf.repeat(photo[..., :1], 3, axis=-1), lambda: photo[..., :3])
    # The fourth byte of a BMP's pixel is hardly ever its opacity, and often 0.
    is_bmp = tf.strings.substr(contents, 0, 2) == b"BM"
    has_alpha = (channels % 2 == 0) & ~is_bmp
    return tf.cond(has_alpha, lambda: _on_white(color, photo[..., -1:]), lambda: color)


def _on_white(color, alpha):
    """What is transparent becomes white, rounded as by Pillow's `alpha_composite`."""
    color, alpha = tf.cast(color, tf.int32), tf.cast(alpha, tf.int32)
    values = (color * alpha + 255 * (255 - alpha)) * 128 + 0x4000
    shift = tf.bitwise.right_shift
    return tf.cast(shift(shift(shift(values, 8) + values, 8), 7), tf.uint8)
