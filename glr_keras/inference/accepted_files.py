"""Which files TensorFlow decodes as the build does, judged by their bytes before any decoding.

TensorFlow 2.21 reads some variants otherwise than every viewer, and an animated WebP makes it write
beyond its memory. An export has no other decoder, so it refuses these; `glr_keras.load` and
`glr_keras.predict` decode all of them with Pillow.
"""

import numpy as np
import tensorflow as tf

from glr_keras.inference.file_bytes import FileBytes
from glr_keras.inference.file_metadata import (
    BROKEN,
    NOT_STORED,
    UNKNOWN,
    UPRIGHT,
    exif_orientation,
    is_srgb,
    xmp_orientation,
)
from tfrecords.common.types import MAX_PIXELS

JPEG_HEAD_BYTES = 2**20  # within which the pixels of a JPEG must begin
MAX_UNSCALED_PIXELS = 89_000_000  # of formats that are decoded at full size
MAX_BLOCKS = 1_000  # of a GIF before its first frame
XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
XMP_IN_PNG = b"XML:com.adobe.xmp\0"
NOWHERE = np.int64(0)  # the place of what is not found


def inspect(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Judges a file.

    Args:
        contents: string Tensor, scalar: the file.

    Returns:
        is_accepted: bool Tensor, scalar: whether TensorFlow shows what the build shows.
        orientation: int32 Tensor, scalar: its EXIF orientation, 1 to 8.
        is_jpeg: bool Tensor, scalar.
    """
    head = FileBytes.of(contents, 16)
    starts = [
        head.matches(0, b"\xff\xd8\xff"),
        head.matches(0, b"\x89PNG\r\n\x1a\n"),
        head.matches(0, b"RIFF") & head.matches(8, b"WEBP"),
        head.matches(0, b"GIF8"),
        head.matches(0, b"BM"),
        tf.constant(True),
    ]
    judges = [_judge_jpeg, _judge_png, _judge_webp, _judge_gif, _judge_bmp, _refuse]
    kind = tf.argmax(tf.stack(starts), output_type=tf.int32)  # the first that fits
    branches = [lambda judge=judge: judge(contents) for judge in judges]
    is_accepted, orientation = tf.switch_case(kind, branches)
    is_accepted &= orientation != UNKNOWN
    orientation = tf.where(orientation == NOT_STORED, UPRIGHT, orientation)
    return is_accepted, tf.cast(orientation, tf.int32), starts[0]


def _refuse(contents):
    return tf.constant(False), tf.constant(NOT_STORED)


def _judge_jpeg(contents):
    """Accepts grey and colour photos in sRGB; not four channels, nor profiles in several parts."""
    file = FileBytes.of(contents, JPEG_HEAD_BYTES)

    def is_before_pixels(place, *_):
        return (place + 4 <= file.size) & (file.number(place, 2) != 0xFFDA)

    def read_segment(place, frame, exif, xmp, icc, repeated):
        marker = file.number(place, 2)
        is_alone = (marker < 0xFFC0) | (marker == 0xFFFF)
        is_alone |= (marker >= 0xFFD0) & (marker <= 0xFFD9)
        is_other = (marker == 0xFFC4) | (marker == 0xFFC8) | (marker == 0xFFCC)
        is_frame = (marker >= 0xFFC0) & (marker <= 0xFFCF) & ~is_other
        is_app1 = marker == 0xFFE1
        is_exif = is_app1 & file.matches(place + 4, b"Exif\0\0") & (file.number(place + 2, 2) > 8)
        is_xmp = is_app1 & file.matches(place + 4, XMP_IN_JPEG)
        is_icc = (marker == 0xFFE2) & file.matches(place + 4, b"ICC_PROFILE\0")
        repeated |= (is_exif & (exif > 0)) | (is_icc & (icc > 0)) | (is_frame & (frame > 0))
        return (
            tf.where(is_alone, place + 1, place + 2 + file.number(place + 2, 2)),
            tf.where(is_frame, place, frame),
            tf.where(is_exif, place, exif),
            tf.where(is_xmp, place, xmp),
            tf.where(is_icc, place, icc),
            repeated,
        )

    found = [np.int64(2), NOWHERE, NOWHERE, NOWHERE, NOWHERE, tf.constant(False)]
    found = [tf.convert_to_tensor(one) for one in found]
    place, frame, exif, xmp, icc, repeated = tf.while_loop(is_before_pixels, read_segment, found)
    channels = file.byte(frame + 9)
    pixels = file.number(frame + 5, 2) * file.number(frame + 7, 2)
    is_accepted = (
        ~is_before_pixels(place)
        & (place + 4 <= file.size)
        & (frame > 0)
        & ((channels == 1) | (channels == 3))
        & (pixels <= MAX_PIXELS)
        & ~repeated
        & _is_srgb_or_none(file, icc, icc + 18, file.number(icc + 2, 2) - 16)
        & ((icc == 0) | (file.byte(icc + 17) == 1))
    )
    tiff = file.part(exif + 10, file.number(exif + 2, 2) - 8)
    packet = file.part(xmp + 4, file.number(xmp + 2, 2) - 2)
    return is_accepted, _orientation(exif > 0, tiff, xmp > 0, packet)


def _judge_png(contents):
    """Accepts all but 16-bit grey, a transparent colour and text chunks that hide EXIF."""
    file = FileBytes.of(contents)
    depth, color = file.byte(24), file.byte(25)

    def is_inside(place, *_):
        return (place + 8 <= file.size) & ~file.matches(place + 4, b"IEND")

    def read_chunk(place, exif, xmp, icc, refused):
        name, body = file.number(place + 4, 4), place + 8

        def is_any_of(*names):
            codes = tf.constant([int.from_bytes(one) for one in names], tf.int64)
            return tf.reduce_any(name == codes)

        is_xmp = is_any_of(b"iTXt") & file.matches(body, XMP_IN_PNG)
        is_compressed = file.byte(body + len(XMP_IN_PNG)) != 0
        is_text = is_any_of(b"tEXt", b"zTXt", b"iTXt")
        hides = file.matches(body, b"Raw profile") | file.matches(body, b"exif")
        hides |= file.matches(body, XMP_IN_PNG) & (~is_xmp | is_compressed | (xmp > 0))
        refused |= (is_text & hides) | (is_any_of(b"tRNS") & (color != 3))
        refused |= is_any_of(b"eXIf") & (exif > 0)
        return (
            place + 12 + file.number(place, 4),
            tf.where(is_any_of(b"eXIf"), place, exif),
            tf.where(is_xmp, place, xmp),
            tf.where(is_any_of(b"iCCP"), place, icc),
            refused,
        )

    found = [np.int64(8), NOWHERE, NOWHERE, NOWHERE, tf.constant(False)]
    found = [tf.convert_to_tensor(one) for one in found]
    _, exif, xmp, icc, refused = tf.while_loop(is_inside, read_chunk, found)
    has_profile = icc > 0
    is_accepted = tf.cond(
        has_profile & ~refused, lambda: _is_srgb_chunk(contents, file, icc), lambda: ~refused
    )
    is_accepted &= (depth <= 8) | ((color != 0) & (color != 4))
    is_accepted &= _is_small(file.number(16, 4), file.number(20, 4))
    tiff = file.part(exif + 8, file.number(exif, 4))
    packet = file.part(xmp + 8, file.number(xmp, 4))
    return is_accepted, _orientation(exif > 0, tiff, xmp > 0, packet)


def _is_srgb_chunk(contents, file, place):
    """A profile in a PNG stands behind its name and a byte, compressed."""
    name = file.part(place + 8, tf.constant(80, tf.int64))
    start = place + 8 + tf.concat([name.find(b"\0"), [79]], 0)[0] + 2
    end = tf.minimum(place + 8 + file.number(place, 4), file.size)
    start = tf.minimum(start, end)
    profile = tf.io.decode_compressed(tf.strings.substr(contents, start, end - start), "ZLIB")
    return is_srgb(FileBytes.of(profile))


def _judge_webp(contents):
    """Accepts still pictures; metadata only where the header announces them."""
    file = FileBytes.of(contents)
    is_extended = file.matches(12, b"VP8X")

    def is_inside(place, *_):
        return place + 8 <= file.size

    def read_chunk(place, exif, xmp, icc, refused):
        length = file.number(place + 4, 4, True)
        is_exif, is_xmp, is_icc = (
            file.matches(place, name) for name in (b"EXIF", b"XMP ", b"ICCP")
        )
        refused |= file.matches(place, b"ANIM") | file.matches(place, b"ANMF")
        refused |= (is_exif | is_xmp | is_icc) & ~is_extended
        refused |= (is_exif & (exif > 0)) | (is_xmp & (xmp > 0)) | (is_icc & (icc > 0))
        return (
            place + 8 + length + length % 2,
            tf.where(is_exif, place, exif),
            tf.where(is_xmp, place, xmp),
            tf.where(is_icc, place, icc),
            refused,
        )

    found = [np.int64(12), NOWHERE, NOWHERE, NOWHERE, tf.constant(False)]
    found = [tf.convert_to_tensor(one) for one in found]
    _, exif, xmp, icc, refused = tf.while_loop(is_inside, read_chunk, found)
    is_animated = is_extended & (file.byte(20) // 2 % 2 == 1)
    width, height = file.number(24, 3, True) + 1, file.number(27, 3, True) + 1
    is_small = _is_small(
        tf.where(is_extended, width, np.int64(1)), tf.where(is_extended, height, np.int64(1))
    )
    is_accepted = ~refused & ~is_animated & is_small
    is_accepted &= _is_srgb_or_none(file, icc, icc + 8, file.number(icc + 4, 4, True))
    prefix = tf.where(file.matches(exif + 8, b"Exif\0\0"), np.int64(6), np.int64(0))
    tiff = file.part(exif + 8 + prefix, file.number(exif + 4, 4, True) - prefix)
    packet = file.part(xmp + 8, file.number(xmp + 4, 4, True))
    return is_accepted, _orientation(exif > 0, tiff, xmp > 0, packet)


def _judge_gif(contents):
    """Accepts a first frame that covers the canvas and has no transparent colour."""
    file = FileBytes.of(contents)
    packed = file.byte(10)
    table = tf.where(packed >= 128, 3 * 2 ** (packed % 8 + 1), np.int64(0))

    def is_before_frame(place, in_extension, _, blocks):
        is_frame = (file.byte(place) == 0x2C) & ~in_extension
        return (place < file.size) & ~is_frame & (blocks < MAX_BLOCKS)

    def read_block(place, in_extension, is_transparent, blocks):
        size = file.byte(place)  # of a block of an extension; its last one has none
        is_control = ~in_extension & file.matches(place, b"\x21\xf9")
        is_transparent |= is_control & (file.byte(place + 3) % 2 == 1)
        following = tf.where(in_extension, place + 1 + size, place + 2)
        return following, ~in_extension | (size > 0), is_transparent, blocks + 1

    start = [13 + table, tf.constant(False), tf.constant(False), tf.constant(0)]
    place, _, is_transparent, _ = tf.while_loop(is_before_frame, read_block, start)
    left, top, width, height = tf.unstack(
        file.number(place + tf.range(1, 9, 2, tf.int64), 2, True), 4
    )
    screen_width, screen_height = file.number(6, 2, True), file.number(8, 2, True)
    is_whole = (left == 0) & (top == 0) & (width == screen_width) & (height == screen_height)
    is_accepted = (file.byte(place) == 0x2C) & is_whole & ~is_transparent
    return is_accepted & _is_small(width, height), tf.constant(NOT_STORED)


def _judge_bmp(contents):
    """Accepts uncompressed pixels of 24 or 32 bits, and 8 bits where the palette is all greys."""
    file = FileBytes.of(contents, 2_048)
    header, bits = file.number(14, 4, True), file.number(28, 2, True)
    compression, colors = file.number(30, 4, True), file.number(46, 4, True)
    levels = tf.range(256, dtype=tf.int64)
    palette = file.number(14 + header + 4 * levels, 3)
    is_grey = tf.reduce_all(palette == levels * 0x010101) & ((colors == 0) | (colors == 256))
    sides = file.number(tf.constant([18, 22], tf.int64), 4, True)
    sides = tf.where(sides >= 2**31, 2**32 - sides, sides)  # a height below zero: top row first
    is_plain = (bits == 24) | (bits == 32) | ((bits == 8) & is_grey)
    is_accepted = (header >= 40) & (compression == 0) & is_plain & _is_small(sides[0], sides[1])
    return is_accepted, tf.constant(NOT_STORED)


def _is_small(width, height):
    return (width <= MAX_UNSCALED_PIXELS) & (width * height <= MAX_UNSCALED_PIXELS)


def _is_srgb_or_none(file, place, start, size):
    return tf.cond(place > 0, lambda: is_srgb(file.part(start, size)), lambda: tf.constant(True))


def _orientation(has_exif, tiff, has_xmp, packet):
    """That of EXIF, or else of XMP."""
    none = tf.constant(NOT_STORED)
    stored = tf.cond(has_exif, lambda: exif_orientation(tiff), lambda: none)
    stored = tf.where(stored == BROKEN, tf.where(has_xmp, UNKNOWN, UPRIGHT), stored)
    is_in_xmp = (stored == NOT_STORED) & has_xmp
    return tf.cond(is_in_xmp, lambda: xmp_orientation(packet), lambda: stored)
