"""What TensorFlow would decode otherwise than the build is refused by its bytes."""

import contextlib
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from photo_files import (
    DISPLAY_P3,
    color_profile,
    encode,
    exif_segment,
    insert,
    insert_chunk,
    jpeg_segment,
    picture,
    png_header,
    tiff_block,
    xmp_packet,
    xmp_segment,
)
from PIL import ImageCms, JpegImagePlugin

from glr_keras.data.tracing import as_written
from glr_keras.decoding.accepted_files import inspect
from glr_keras.decoding.file_bytes import FileBytes
from glr_keras.decoding.file_metadata import is_srgb
from tfrecords.images import colors
from tfrecords.images.orientation import orientation_of

INSPECT = tf.function(as_written(inspect), input_signature=[tf.TensorSpec([], tf.string)])
IS_SRGB = tf.function(
    lambda profile: is_srgb(FileBytes.of(profile)), input_signature=[tf.TensorSpec([], tf.string)]
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PRIMARIES = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
NO_SRGB = [DISPLAY_P3, *(color_profile(PRIMARIES, gamma) for gamma in (1.0, 1.8, 2.2))]


def is_accepted(contents):
    return bool(INSPECT(contents)[0])


def orientation(contents):
    accepted, value, _ = INSPECT(contents)
    assert accepted
    return int(value)


def animation(style):
    frames = [picture(64, 48, seed) for seed in range(3)]
    return encode(frames[0], style, save_all=True, append_images=frames[1:], lossless=True)


def small_first_frame():
    """A GIF whose first frame covers the canvas but for a column."""
    gif = bytearray(encode(picture(64, 48).quantize(60), "GIF"))
    gif[6:8] = struct.pack("<H", 65)
    return bytes(gif)


def bmp_with_masks():
    bmp = bytearray(encode(picture(64, 48).convert("RGBA"), "BMP"))
    bmp[30:34] = struct.pack("<I", 3)
    return bytes(bmp)


REFUSED = {
    "no photo": b"<html>",
    "TIFF": encode(picture(), "TIFF"),
    "AVIF": encode(picture(), "AVIF"),
    "JPEG, CMYK": encode(picture().convert("CMYK")),
    "JPEG, profile": encode(picture(), icc_profile=DISPLAY_P3),
    "JPEG, large profile": encode(picture(), icc_profile=SRGB + bytes(70_000)),
    "JPEG, no pixels": encode(picture())[:400],
    "JPEG, two EXIF blocks": insert(encode(picture()), exif_segment(6) + exif_segment(1)),
    "JPEG, RATIONAL": insert(encode(picture()), exif_segment(6, "<", 11)),
    "PNG, transparent colour": encode(picture(), "PNG", transparency=(1, 2, 3)),
    "PNG, transparent grey": encode(picture().convert("L"), "PNG", transparency=3),
    "PNG, 16-bit grey": png_header(64, 48, 16, 0, bytes(129 * 48)),
    "PNG, profile": encode(picture(), "PNG", icc_profile=DISPLAY_P3),
    "PNG, EXIF in a text": insert_chunk(
        encode(picture(), "PNG"), b"zTXt", b"Raw profile type exif\0\0x"
    ),
    "PNG, compressed XMP": insert_chunk(
        encode(picture(), "PNG"), b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0x"
    ),
    "PNG, 100 million pixels": png_header(10_000, 10_000),
    "WebP, animated": animation("WEBP"),
    "WebP, profile": encode(picture(), "WEBP", icc_profile=DISPLAY_P3),
    "GIF, transparent": encode(picture().quantize(60), "GIF", transparency=3),
    "GIF, small first frame": small_first_frame(),
    "BMP, palette": encode(picture().quantize(60), "BMP"),
    "BMP, masks": bmp_with_masks(),
    "BMP, 1 bit": encode(picture().convert("1"), "BMP"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_decoded_otherwise_is_refused(kind):
    assert not is_accepted(REFUSED[kind])


ACCEPTED = {
    "JPEG, sRGB": encode(picture(), icc_profile=SRGB),
    "PNG, sRGB": encode(picture(), "PNG", icc_profile=SRGB),
    "WebP, sRGB": encode(picture(), "WEBP", icc_profile=SRGB),
    "PNG, texts": insert_chunk(encode(picture(), "PNG"), b"tEXt", b"Comment\0hello"),
    "PNG, animated": animation("PNG"),
    "GIF, animated": animation("GIF"),
    "JPEG, many segments": insert(encode(picture()), jpeg_segment(0xE2, bytes(60_000)) * 5),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_decoded_alike_is_accepted(kind):
    assert orientation(ACCEPTED[kind]) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 8, 9])
def test_orientations_of_every_number_type_are_read(order, kind):
    for value in range(1, 9):
        assert orientation(insert(encode(picture()), exif_segment(value, order, kind))) == value


@pytest.mark.parametrize(
    "place",
    [
        lambda jpeg: insert(jpeg, exif_segment(6), before=b"\xff\xc0"),
        lambda jpeg: insert(jpeg, b"\xff\xff\xff" + exif_segment(6)),
        lambda jpeg: insert(jpeg, jpeg_segment(0xE2, bytes(60_000)) * 3 + exif_segment(6)),
        lambda jpeg: insert(jpeg, xmp_segment(6)),
        lambda jpeg: insert(jpeg, xmp_segment(3) + exif_segment(6)),
    ],
)
def test_an_orientation_is_found_anywhere_in_a_jpeg(place):
    assert orientation(place(encode(picture()))) == 6


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_an_orientation_is_found_anywhere_in_a_png(before):
    png = encode(picture(), "PNG")
    assert orientation(insert_chunk(png, b"eXIf", tiff_block(6), before)) == 6
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(6)
    assert orientation(insert_chunk(png, b"iTXt", text, before)) == 6


@pytest.mark.parametrize("settings", [{"exif": tiff_block(6)}, {"xmp": xmp_packet(6)}])
def test_an_orientation_is_found_in_a_webp(settings):
    assert orientation(encode(picture(), "WEBP", **settings)) == 6


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_mutated_exif_is_refused_or_read_as_pillow_reads_it():
    random = np.random.default_rng(0)
    whole = insert(encode(picture()), exif_segment(6, ">") + xmp_segment(3))
    compared = 0
    for _ in range(400):
        harmed = bytearray(whole)
        for place in random.integers(2, 44, 3):
            harmed[place] = random.integers(256)
        accepted, value, _ = INSPECT(bytes(harmed))
        with contextlib.suppress(SyntaxError, OSError):
            photo = JpegImagePlugin.JpegImageFile(io.BytesIO(bytes(harmed)))
            assert not accepted or value == orientation_of(photo), bytes(harmed[:48]).hex()
            compared += bool(accepted)
    assert compared > 100


def test_a_profile_is_judged_as_by_the_build():
    assert IS_SRGB(SRGB)
    assert not any(IS_SRGB(profile) for profile in NO_SRGB)
    random = np.random.default_rng(0)
    for whole in (SRGB, *NO_SRGB):
        for _ in range(60):
            harmed = bytearray(whole[: random.integers(100, len(whole))])
            for place in random.integers(0, len(harmed), random.integers(0, 3)):
                harmed[place] = random.integers(256)
            assert IS_SRGB(bytes(harmed)) == colors.is_srgb(bytes(harmed))


def test_a_curve_of_srgb_may_be_a_table():
    table = np.round(65_535 * srgb(np.arange(1024) / 1023)).astype(int)
    profile = color_profile(PRIMARIES, table=table)
    assert colors.is_srgb(profile)
    assert IS_SRGB(profile)


def srgb(value):
    return np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)


def test_no_bytes_make_the_inspection_fail():
    random = np.random.default_rng(1)
    files = [*REFUSED.values(), *ACCEPTED.values()]
    for number in range(400):
        harmed = bytearray(files[number % len(files)][: random.integers(1, 3000)])
        for place in random.integers(0, len(harmed), 3):
            harmed[place] = random.integers(256)
        _check(bytes(harmed))
    for contents in (b"", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF....WEBP", b"\x89PNG\r\n\x1a\n"):
        _check(contents)


def _check(contents):
    # What is compressed in a PNG may be damaged: then the photo does not decode either.
    with contextlib.suppress(tf.errors.InvalidArgumentError, tf.errors.DataLossError):
        INSPECT(contents)
