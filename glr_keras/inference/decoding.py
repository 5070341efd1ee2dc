"""Bytes of photos -> the views that a model sees, in TensorFlow alone, so that an export holds it.

A file is treated as `tfrecords.build` treats it: turned upright by its EXIF, made RGB, scaled down
to the records' short side, with the same filter. What is left out is the JPEG compression between.
"""

from functools import partial

import tensorflow as tf

from glr_keras.data.views import eval_view

# A JPEG keeps its EXIF among its first segments. Segments of 64 KB may stand before it; more than
# one of them is rare.
EXIF_WITHIN = 2**17  # bytes
APP0, APP1, COMMENT = 0xFFE0, 0xFFE1, 0xFFFE  # how segments start; all metadata lies between
EX, IF = 0x4578, 0x6966  # "Exif"
ORIENTATION = 0x0112  # the tag
SCALES = (1, 2, 4, 8)  # by which libjpeg shrinks a photo while it decodes


def decode_views(
    image_bytes: tf.Tensor, image_size: int, short_side: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of files on all cores and cuts the eval view out of each.

    A file that does not decode is left out, so that one of them does not cost the others.

    Args:
        image_bytes: string Tensor `(batch,)`: JPEG, PNG, WebP, BMP, or GIF (the first frame).
        image_size: Int, side of a view in pixels.
        short_side: Int, pixels; of the records that the model has learned from.

    Returns:
        views: float32 Tensor `(decoded, image_size, image_size, 3)` in [0, 255].
        places: int64 Tensor `(decoded,)`, ascending: where in the batch each comes from.
    """
    count = tf.size(image_bytes, out_type=tf.int64)
    files = tf.data.Dataset.from_tensor_slices((image_bytes, tf.range(count)))

    def view(contents, place):
        return decode_view(contents, image_size, short_side), place

    views = files.map(view, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # A batch of which nothing is left would be an error: one more view, dropped below, is always.
    blank = (tf.zeros([image_size, image_size, 3]), tf.constant(-1, tf.int64))
    views = views.ignore_errors().concatenate(tf.data.Dataset.from_tensors(blank))
    options = tf.data.Options()
    options.autotune.enabled = False  # a thread per request, slow to stop; parallel all the same
    options.experimental_optimization.apply_default_optimizations = False  # they cost more here
    views, places = views.batch(count + 1).with_options(options).get_single_element()
    return views[:-1], places[:-1]


def decode_view(contents: tf.Tensor, image_size: int, short_side: int) -> tf.Tensor:
    """Decodes one file and cuts its eval view: float32 `(image_size, image_size, 3)`."""
    photo, orientation = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: (_decode_jpeg(contents, short_side), exif_orientation(contents)),
        lambda: (_decode_other(contents), 1),
    )
    return eval_view(turn_upright(shrink(photo, short_side), orientation), image_size)


def shrink(photo: tf.Tensor, short_side: int) -> tf.Tensor:
    """Scales a uint8 photo down to `short_side` pixels; a smaller one keeps its size."""
    sides = tf.shape(photo)[:2]

    def scale():
        factor = short_side / tf.reduce_min(sides)
        size = tf.maximum(
            short_side, tf.cast(tf.round(tf.cast(sides, factor.dtype) * factor), "int32")
        )
        smaller = tf.image.resize(photo, size, "lanczos3", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(smaller), 0, 255), tf.uint8)

    return tf.cond(tf.reduce_min(sides) > short_side, scale, lambda: photo)


def turn_upright(photo: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation, 1 to 8, to a photo `(height, width, 3)`."""

    def where(values, change, photo):
        return tf.cond(tf.reduce_any(orientation == values), lambda: change(photo), lambda: photo)

    photo = where([5, 6, 7, 8], partial(tf.transpose, perm=[1, 0, 2]), photo)
    photo = where([2, 3, 6, 7], partial(tf.reverse, axis=[1]), photo)
    return where([3, 4, 7, 8], partial(tf.reverse, axis=[0]), photo)


def exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the EXIF of a JPEG.

    Args:
        contents: string Tensor, scalar: the file.

    Returns:
        int32 Tensor, scalar, 1 to 8; 1 (upright) where the file tells none that can be read.

    Reference:
    - [Exif 2.32](https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf), 4.5 and 4.6
    """
    head = tf.io.decode_raw(tf.strings.substr(contents, 0, EXIF_WITHIN), tf.uint8)
    size = tf.size(head)

    def byte(place):  # beyond the end, where a damaged file may point to, the last one answers
        return tf.cast(tf.gather(head, tf.clip_by_value(place, 0, size - 1)), tf.int32)

    def big_endian(place):
        return byte(place) * 256 + byte(place + 1)

    def is_exif(place):
        is_inside = (place + 18 < size) & (big_endian(place) == APP1)
        return is_inside & (big_endian(place + 4) == EX) & (big_endian(place + 6) == IF)

    def is_other_metadata(place):
        is_metadata = (big_endian(place) >= APP0) & (big_endian(place) <= COMMENT)
        return (place + 18 < size) & is_metadata & ~is_exif(place)

    place = tf.while_loop(is_other_metadata, lambda at: [at + 2 + big_endian(at + 2)], [2])[0]
    return tf.cond(is_exif(place), lambda: _find_orientation(byte, place + 10), lambda: 1)


def _find_orientation(byte, tiff):
    """Looks through the first table of the TIFF structure that starts at `tiff`."""
    is_little = byte(tiff) == ord("I")

    def number(place):
        first, second = byte(place), byte(place + 1)
        return tf.where(is_little, first + second * 256, first * 256 + second)

    # Offsets above 64 KB fit into no segment: of the four bytes, the two that count are read.
    table = tiff + number(tf.where(is_little, tiff + 4, tiff + 6))
    entries = table + 2 + 12 * tf.range(number(table))
    found = tf.where(number(entries) == ORIENTATION, number(entries + 8), 0)
    orientation = tf.reduce_max(tf.concat([found, [0]], 0))
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def _decode_jpeg(contents, short_side):
    height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(contents), 3)
    # As Pillow's draft mode in `tfrecords.images.convert`: twice the short side is left for the
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
    """What is transparent becomes white, as in the records."""
    color, alpha = tf.cast(color, tf.float32), tf.cast(alpha, tf.float32)
    return tf.cast(tf.round(255 + (color - 255) * alpha / 255), tf.uint8)
