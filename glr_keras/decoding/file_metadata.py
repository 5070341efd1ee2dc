"""What a file's metadata say of its pixels, read inside a TensorFlow graph.

The same rules as in `tfrecords.images`, where Pillow reads them.
"""

import numpy as np
import tensorflow as tf

from glr_keras.decoding.file_bytes import FileBytes
from tfrecords.images.colors import (
    CURVE_TOLERANCE,
    CURVES,
    FIXED,
    MAX_TAGS,
    PARAMETERS,
    PRIMARIES,
    TOLERANCE,
)

# Beside the orientations, 1 to 8. Of a broken EXIF, Pillow reads none, nor that of XMP.
NOT_STORED, UPRIGHT, UNKNOWN, BROKEN = (np.int64(value) for value in (0, 1, 9, 10))
ORIENTATION_TAG = 0x0112
SHORT, LONG, BYTE, ASCII = (3, 8), (4, 9), (1, 6, 7), 2  # types of an EXIF value


def exif_orientation(tiff: FileBytes) -> tf.Tensor:
    """Reads the orientation from the first table of the TIFF structure that EXIF is.

    Args:
        tiff: That structure.

    Returns:
        int64 Tensor, scalar: 1 to 8; `NOT_STORED`; `BROKEN`; or `UNKNOWN`, where Pillow may read
        another one.

    Reference:
    - [Exif 2.32](https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf), 4.5 and 4.6
    """
    little = tiff.byte(0) == ord("I")
    is_tiff = tiff.matches(0, b"II*\0") | tiff.matches(0, b"MM\0*")
    is_odd = ~is_tiff & (tiff.matches(0, b"II") | tiff.matches(0, b"MM"))
    table = tiff.number(4, 4, little)
    entries = table + 2 + 12 * tf.range(tiff.number(table, 2, little))
    is_found = (tiff.number(entries, 2, little) == ORIENTATION_TAG) & is_tiff
    is_found &= entries + 12 <= tiff.size
    found = tf.reduce_sum(tf.cast(is_found, tf.int64))
    entry = tf.reduce_max(tf.concat([tf.where(is_found, entries, NOT_STORED), [0]], 0))

    kind, count = tiff.number(entry + 2, 2, little), tiff.number(entry + 4, 4, little)
    is_one = count == 1

    def is_any_of(kinds):
        return tf.reduce_any(kind == tf.constant(kinds, tf.int64)) & is_one

    value = tf.where(is_any_of(SHORT), tiff.number(entry + 8, 2, little), UNKNOWN)
    value = tf.where(is_any_of(LONG), tiff.number(entry + 8, 4, little), value)
    value = tf.where(is_any_of(BYTE), tiff.byte(entry + 8), value)
    is_digit = (kind == ASCII) & ((count == 1) | (count == 2))
    value = tf.where(is_digit, tiff.byte(entry + 8) - ord("0"), value)
    is_known = is_any_of([*SHORT, *LONG, *BYTE]) | is_digit
    value = tf.where(
        is_known & ((value < 1) | (value > 8)), UPRIGHT, value
    )  # no orientation at all
    value = tf.where(found == 0, NOT_STORED, tf.where(found == 1, value, UNKNOWN))
    is_whole = is_tiff & (table + 2 + 12 * tf.size(entries, out_type=tf.int64) <= tiff.size)
    value = tf.where((found == 0) & ~is_whole, BROKEN, value)
    return tf.where(is_odd, UNKNOWN, value)


def xmp_orientation(packet: FileBytes) -> tf.Tensor:
    """Reads the orientation from a packet of XMP: int64, 1 to 8, or `NOT_STORED`."""
    name = b"tiff:Orientation"
    places = packet.find(name) + len(name)
    is_attribute = packet.number(places, 2) == int.from_bytes(b'="')
    is_element = packet.byte(places) == ord(">")
    digits = packet.byte(places + tf.where(is_attribute, np.int64(2), np.int64(1))) - ord("0")
    is_value = (is_attribute | is_element) & (digits >= 0) & (digits <= 9)
    first = tf.concat([tf.boolean_mask(digits, is_value), [NOT_STORED]], 0)[0]
    is_valid = ((first >= 1) & (first <= 8)) | ~tf.reduce_any(is_value)
    return tf.where(is_valid, first, UPRIGHT)


def is_srgb(profile: FileBytes) -> tf.Tensor:
    """Whether a colour profile describes sRGB: `tfrecords.images.colors.is_srgb`."""
    count = profile.number(128, 4)
    has_tags = (count <= MAX_TAGS) & (132 + 12 * count <= profile.size)
    entries = 132 + 12 * tf.range(tf.where(has_tags, count, np.int64(0)))
    names = profile.number(entries, 4)

    def is_tag(name):
        return names == int.from_bytes(name)

    def places(tags):
        found = tf.stack([tf.reduce_any(is_tag(tag)) for tag in tags])
        padded = tf.concat([names, [0]], 0)  # never empty
        first = tf.stack([tf.argmax(padded == int.from_bytes(tag)) for tag in tags])
        return profile.number(132 + 12 * first + 4, 4), tf.reduce_all(found)

    primaries, has_primaries = places(PRIMARIES)
    curves, has_curves = places(CURVES)
    numbers = _fixed(profile, primaries[:, None] + 8 + 4 * tf.range(3, dtype=tf.int64))
    return (
        profile.matches(16, b"RGB XYZ ")
        & has_tags
        & has_primaries
        & has_curves
        & ~tf.reduce_any(is_tag(b"A2B0"))
        & _is_near(numbers, list(PRIMARIES.values()))
        & tf.reduce_all(_is_srgb_curve(profile, curves))
    )


def _is_srgb_curve(profile, places):
    kinds = profile.number(places, 4)
    numbers = _fixed(profile, places[:, None] + 12 + 4 * tf.range(5, dtype=tf.int64))
    is_function = (profile.number(places + 8, 2) == 3) & _is_near(numbers, PARAMETERS, axis=1)
    count = profile.number(places + 8, 4)
    entries = (count[:, None] - 1) * tf.constant([1, 4, 8, 12], tf.int64) // 16
    values = tf.cast(profile.number(places[:, None] + 12 + 2 * entries, 2), tf.float64) / 65_535
    position = tf.cast(entries, tf.float64) / tf.cast(tf.maximum(count - 1, 1), tf.float64)[:, None]
    linear = tf.where(position > 0.04045, ((position + 0.055) / 1.055) ** 2.4, position / 12.92)
    is_table = tf.reduce_all(tf.abs(values - linear) <= CURVE_TOLERANCE, 1)
    is_table &= (count >= 16) & (count <= 65_535)
    is_para, is_curv = (kinds == int.from_bytes(name) for name in (b"para", b"curv"))
    return (is_para & is_function) | (is_curv & is_table)


def _fixed(profile, places):
    """Reads signed numbers in units of 1/65536."""
    numbers = profile.number(places, 4)
    return tf.where(numbers >= 2**31, numbers - 2**32, numbers)


def _is_near(numbers, expected, axis=None):
    expected = FIXED * tf.constant(expected, tf.float64)
    distance = tf.abs(tf.cast(numbers, tf.float64) - expected)
    return tf.reduce_all(distance <= TOLERANCE, axis)
