"""Files become views in TensorFlow as they become records in Pillow."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from photo_files import encode, picture
from PIL import Image, ImageOps

from glr_keras.data.views import VIEW_FRACTION, _resample, eval_view
from glr_keras.inference.decoding import decode_views, exif_orientation, shrink, turn_upright
from tfrecords.images.convert import prepare_photo

# As an export has them.
DECODE = tf.function(
    lambda files: decode_views(files, image_size=32, short_side=64),
    input_signature=[tf.TensorSpec([None], tf.string)],
)
ORIENTATION = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])


def views(*files):
    return DECODE(tf.constant(files, tf.string, [len(files)]))


def recorded(contents):
    """The view of the record that `tfrecords.build` makes of a file."""
    return evaluated(prepare_photo(contents, short_side=64))


def evaluated(jpeg):
    photo = tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")
    return eval_view(photo, 32).numpy()


def exif(orientation, order="<", entries=()):
    """EXIF with some entries before the orientation, in a byte order."""
    entries = [*entries, (0x0112, 3, 1, orientation)]
    table = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        table += struct.pack(order + "HHIHH", tag, kind, count, value, 0)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + start + struct.pack(order + "I", 8) + table + b"\0\0\0\0"


def test_the_file_in_a_record_gives_the_view_of_the_evaluation_exactly():
    jpeg = prepare_photo(encode(picture(300, 200)), 64)
    view, places = views(jpeg)
    np.testing.assert_array_equal(view[0], evaluated(jpeg))
    np.testing.assert_array_equal(places, [0])


@pytest.mark.parametrize("size", [(256, 256), (341, 256), (256, 455), (257, 256), (256, 300)])
def test_a_view_at_the_scale_of_the_photo_is_the_same_crop(size):
    photo = tf.constant(np.asarray(picture(*size)))
    view = tf.function(eval_view)(photo, 224)
    np.testing.assert_array_equal(view, _resample(photo, min(size) * VIEW_FRACTION, 224))


@pytest.mark.parametrize("size", [(255, 340), (100, 80), (600, 512), (224, 224)])
def test_a_view_at_another_scale_is_resampled(size):
    photo = tf.constant(np.asarray(picture(*size)))
    resampled = _resample(photo, min(size) * VIEW_FRACTION, 224)
    np.testing.assert_allclose(eval_view(photo, 224), resampled, atol=1e-3)


@pytest.mark.parametrize("size", [(90, 60), (130, 200), (700, 400), (1300, 1100), (3000, 700)])
def test_jpegs_of_every_scale_look_as_in_the_records(size):
    contents = encode(picture(*size), quality=95)
    view, _ = views(contents)
    assert np.abs(view[0] - recorded(contents)).mean() < 1.5  # what the JPEG between them takes


@pytest.mark.parametrize(
    ("style", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("BMP", "L"),
        ("BMP", "RGBA"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
    ],
)
def test_every_format_that_tensorflow_knows_looks_as_in_the_records(style, mode):
    contents = encode(picture(200, 130).convert(mode), style)
    view, places = views(contents)
    np.testing.assert_array_equal(places, [0])
    assert np.abs(view[0] - recorded(contents)).mean() < 3  # dithered palettes suffer most


@pytest.mark.parametrize("colors", [2, 4, 16])
def test_palettes_of_few_colours_are_opaque(colors):
    photo = picture(200, 130).convert("P", palette=Image.Palette.ADAPTIVE, colors=colors)
    view, _ = views(encode(photo, "PNG", bits={2: 1, 4: 2, 16: 4}[colors]))
    same, _ = views(encode(photo.convert("RGB"), "PNG"))
    np.testing.assert_array_equal(view, same)


@pytest.mark.parametrize("style", ["PNG", "WEBP"])
def test_what_is_transparent_becomes_white(style):
    photo = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
    photo.paste((0, 0, 255, 255), (0, 0, 40, 80))
    view, _ = views(encode(photo, style, lossless=True))
    np.testing.assert_array_equal(view[0, 16, 2], [0, 0, 255])
    np.testing.assert_array_equal(view[0, 16, -2], [255, 255, 255])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_as_pillow_turns_it(orientation):
    photo = picture(5, 3)
    turned = turn_upright(tf.constant(np.asarray(photo)), tf.constant(orientation))
    photo.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(photo)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright_by_its_exif(orientation):
    contents = encode(picture(200, 130), exif=exif(orientation))
    view, _ = views(contents)
    assert np.abs(view[0] - recorded(contents)).mean() < 1.5
    if orientation > 1:
        assert np.abs(view[0] - recorded(encode(picture(200, 130)))).mean() > 20


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_read_in_both_byte_orders(order, orientation):
    entries = [(0x010F, 2, 4, 7), (0x011A, 5, 1, 3)]
    for given in ([], entries):
        contents = encode(picture(), exif=exif(orientation, order, given))
        assert ORIENTATION(contents) == orientation


def test_the_orientation_is_found_behind_other_segments():
    body = encode(picture(), exif=exif(6))[2:]  # Pillow puts its own JFIF segment first, too
    icc = b"\xff\xe2" + struct.pack(">H", 60_002) + bytes(60_000)
    comment = b"\xff\xfe" + struct.pack(">H", 7) + b"hello"
    assert ORIENTATION(b"\xff\xd8" + icc + comment + body) == 6


@pytest.mark.parametrize(
    "segment",
    [
        b"",
        exif(0),
        exif(9),
        exif(255),
        exif(6)[:20],
        exif(6).replace(b"Exif", b"exif"),
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff",
        b"http://ns.adobe.com/xap/1.0/\0<x/>",
    ],
)
def test_exif_that_tells_no_orientation_leaves_the_photo_as_it_is(segment):
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    assert ORIENTATION(b"\xff\xd8" + app1 + encode(picture())[2:]) == 1


def test_no_bytes_make_the_search_for_an_orientation_fail():
    random = np.random.default_rng(0)
    whole = encode(picture(), exif=exif(6, ">", [(0x010F, 2, 4, 7)]))[:120]
    for _ in range(300):
        harmed = bytearray(whole[: random.integers(3, len(whole))])
        for place in random.integers(2, len(harmed), 3):
            harmed[place] = random.integers(256)
        assert 1 <= ORIENTATION(bytes(harmed)) <= 8


def test_what_does_not_decode_is_left_out_and_the_others_keep_their_places():
    good = [encode(picture(seed=seed)) for seed in range(3)]
    bad = [b"", b"<html>", good[0][:300], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]
    together, places = views(*bad[:2], good[0], *bad[2:5], good[1], good[2], *bad[5:])
    np.testing.assert_array_equal(places, [2, 6, 7])
    for view, contents in zip(together, good, strict=True):
        np.testing.assert_array_equal(view, views(contents)[0][0])


@pytest.mark.parametrize("files", [[], [b""], [b"x", b"y"]])
def test_a_batch_without_photos_gives_no_views(files):
    view, places = views(*files)
    assert (view.shape, places.shape) == ((0, 32, 32, 3), (0,))


def test_a_small_photo_keeps_its_size_and_a_long_one_its_shape():
    assert shrink(tf.zeros([20, 30, 3], tf.uint8), 64).shape == (20, 30, 3)
    assert shrink(tf.zeros([64, 300, 3], tf.uint8), 64).shape == (64, 300, 3)
    assert shrink(tf.zeros([65, 2001, 3], tf.uint8), 64).shape == (64, 1970, 3)
    assert views(encode(picture(1, 1)))[0].shape == (1, 32, 32, 3)
