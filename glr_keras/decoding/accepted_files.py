"""Which files TensorFlow decodes as the build does, judged by their bytes before any decoding.

TensorFlow 2.21 reads some variants otherwise than every viewer, and an animated WebP makes it write
beyond its memory. An export has no other decoder, so it refuses these; `glr_keras.load` and
`glr_keras.predict` decode all of them with Pillow.
"""

import numpy as np
import tensorflow as tf

from glr_keras.decoding.file_bytes import FileBytes, starts_with
from glr_keras.decoding.file_metadata import (
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
    head = FileBytes.of(contents, 12).window(np.int64(0), 12)
    starts = [
        starts_with(head, b"\xff\xd8\xff"),
        starts_with(head, b"\x89PNG\r\n\x1a\n"),
        starts_with(head, b"RIFF") & starts_with(head[8:], b"WEBP"),
        starts_with(head, b"GIF8"),
        starts_with(head, b"BM"),
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

    def read_segment(place, frame, exif, xmp, icc, refused, _):
        window = file.window(place, 4 + len(XMP_IN_JPEG))
        marker, length = window[0] * 256 + window[1], window[2] * 256 + window[3]
        is_pixels = marker == 0xFFDA
        is_alone = (
            (marker < 0xFFC0) | (marker == 0xFFFF) | (marker // 16 == 0xFFD) & (marker < 0xFFDA)
        )
        is_table = (marker == 0xFFC4) | (marker == 0xFFC8) | (marker == 0xFFCC)
        is_frame = (marker // 16 == 0xFFC) & ~is_table
        is_app1 = marker == 0xFFE1
        is_exif = is_app1 & starts_with(window[4:], b"Exif\0\0") & (length > 8)
        is_xmp = is_app1 & starts_with(window[4:], XMP_IN_JPEG)
        is_icc = (marker == 0xFFE2) & starts_with(window[4:], b"ICC_PROFILE\0")
        refused |= (is_exif & (exif > 0)) | (is_icc & (icc > 0)) | (is_frame & (frame > 0))
        following = tf.where(is_alone, place + 1, place + 2 + length)
        refused |= ~is_pixels & (following + 4 > file.size)
        return (
            following,
            tf.where(is_frame, place, frame),
            tf.where(is_exif, place, exif),
            tf.where(is_xmp, place, xmp),
            tf.where(is_icc, place, icc),
            refused,
            is_pixels,
        )

    found = [np.int64(2), NOWHERE, NOWHERE, NOWHERE, NOWHERE, False, False]
    found = [tf.convert_to_tensor(one) for one in found]
    _, frame, exif, xmp, icc, refused, _ = tf.while_loop(
        lambda *found: ~(found[-2] | found[-1]), read_segment, found
    )
    high, height, wide, width, channels = tf.unstack(file.window(frame + 5, 5))
    pixels = (high * 256 + height) * (wide * 256 + width)
    is_accepted = (
        ~refused & (frame > 0) & ((channels == 1) | (channels == 3)) & (pixels <= MAX_PIXELS)
    )
    has_one_profile = (icc == 0) | (file.byte(icc + 17) == 1)
    is_accepted &= has_one_profile & _is_srgb_or_none(
        file, icc, icc + 18, lambda: file.number(icc + 2, 2) - 16
    )
    return is_accepted, _orientation(
        exif > 0,
        lambda: file.part(exif + 10, file.number(exif + 2, 2) - 8),
        xmp > 0,
        lambda: file.part(xmp + 4, file.number(xmp + 2, 2) - 2),
    )


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
    return is_accepted, _orientation(
        exif > 0,
        lambda: file.part(exif + 8, file.number(exif, 4)),
        xmp > 0,
        lambda: file.part(xmp + 8, file.number(xmp, 4)),
    )


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
    is_accepted &= _is_srgb_or_none(file, icc, icc + 8, lambda: file.number(icc + 4, 4, True))

    def tiff():
        prefix = tf.where(file.matches(exif + 8, b"Exif\0\0"), np.int64(6), np.int64(0))
        return file.part(exif + 8 + prefix, file.number(exif + 4, 4, True) - prefix)

    def packet():
        return file.part(xmp + 8, file.number(xmp + 4, 4, True))

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
    numbers = file.number(tf.constant([14, 18, 22, 28, 30, 46], tf.int64), 4, True)
    header, width, height, bits, compression, colors = tf.unstack(numbers)
    bits %= 2**16  # a number of two bytes
    height = tf.where(height >= 2**31, 2**32 - height, height)  # below zero: top row first

    def has_grey_palette():
        levels = tf.range(256, dtype=tf.int64)
        palette = file.number(14 + header + 4 * levels, 3)
        return tf.reduce_all(palette == levels * 0x010101) & ((colors == 0) | (colors == 256))

    is_plain = tf.cond(bits == 8, has_grey_palette, lambda: (bits == 24) | (bits == 32))
    is_accepted = (header >= 40) & (compression == 0) & is_plain & _is_small(width, height)
    return is_accepted, tf.constant(NOT_STORED)


def _is_small(width, height):
    return (width <= MAX_UNSCALED_PIXELS) & (width * height <= MAX_UNSCALED_PIXELS)


def _is_srgb_or_none(file, place, start, size):
    return tf.cond(place > 0, lambda: is_srgb(file.part(start, size())), lambda: tf.constant(True))


def _orientation(has_exif, tiff, has_xmp, packet):
    """That of EXIF, or else of XMP; `tiff` and `packet` cut these out of the file."""
    none = tf.constant(NOT_STORED)
    stored = tf.cond(has_exif, lambda: exif_orientation(tiff()), lambda: none)
    stored = tf.where(stored == BROKEN, tf.where(has_xmp, UNKNOWN, UPRIGHT), stored)
    is_in_xmp = (stored == NOT_STORED) & has_xmp
    return tf.cond(is_in_xmp, lambda: xmp_orientation(packet()), lambda: stored)
