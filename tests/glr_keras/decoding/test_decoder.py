"""Files become views in TensorFlow as they become records in Pillow, to the last bit."""

import numpy as np
import pytest
import tensorflow as tf
from photo_files import encode, exif_segment, insert, insert_chunk, picture, tiff_block, xmp_segment
from PIL import Image, ImageOps

from glr_keras.data.views import CENTER_FRACTION, _resample, eval_view
from glr_keras.decoding.decoder import bitmap_decoder, turn_upright, view_decoder
from glr_keras.inference.photo_inputs import read_photo
from tfrecords.images.convert import prepare_photo
from tfrecords.images.decode import decode_photo

DECODE = view_decoder(32, 64, "center")


def views(*files):
    return DECODE(tf.constant(files, tf.string, [len(files)]))


def expected(contents):
    """The view of the pixels that `tfrecords.build` makes a record of."""
    return eval_view(np.asarray(decode_photo(contents, short_side=64)), 32, "center").numpy()


def check_equal(files):
    """Every file is accepted, and its view is the expected one bit for bit."""
    found, places = views(*files.values())
    assert [name for number, name in enumerate(files) if number not in places] == []
    for name, view in zip(files, found, strict=True):
        np.testing.assert_array_equal(view, expected(files[name]), name)


def test_the_file_in_a_record_gives_the_view_of_the_evaluation_exactly():
    jpeg = prepare_photo(encode(picture(300, 200)), 64)
    photo = tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")
    view, places = views(jpeg)
    np.testing.assert_array_equal(view[0], eval_view(photo, 32, "center"))
    np.testing.assert_array_equal(places, [0])


@pytest.mark.parametrize("framing", ["center", "whole"])
def test_bitmaps_that_were_read_before_give_the_same_views(framing):
    files = [read_photo(np.asarray(picture(*size)), 64) for size in [(300, 200), (40, 90), (3, 2)]]
    expected, _ = view_decoder(32, 64, framing)(tf.constant(files))
    decode = bitmap_decoder(32, framing)
    np.testing.assert_array_equal(decode(tf.constant(files)), expected)
    assert decode(tf.constant([], tf.string)).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("size", [(256, 256), (341, 256), (256, 455), (257, 256), (256, 300)])
def test_a_view_at_the_scale_of_the_photo_is_the_same_crop(size):
    photo = tf.constant(np.asarray(picture(*size)))
    view = tf.function(eval_view)(photo, 224, "center")
    side = min(size) * CENTER_FRACTION
    np.testing.assert_array_equal(view, _resample(photo, tf.constant([side, side]), 224))


@pytest.mark.parametrize("size", [(255, 340), (100, 80), (600, 512), (224, 224)])
def test_a_view_at_another_scale_is_resampled(size):
    photo = tf.constant(np.asarray(picture(*size)))
    side = min(size) * CENTER_FRACTION
    resampled = _resample(photo, tf.constant([side, side]), 224)
    np.testing.assert_allclose(eval_view(photo, 224, "center"), resampled, atol=1e-3)


SIZES = [(90, 60), (64, 64), (130, 200), (700, 400), (401, 1900), (1300, 1100), (3000, 700)]


@pytest.mark.parametrize("size", SIZES)
def test_plain_files_of_every_size_look_as_in_the_records(size):
    photo = picture(*size, seed=sum(size))
    files = {style: encode(photo, style, quality=90) for style in ("JPEG", "PNG", "WEBP", "BMP")}
    files |= {f"subsampling {one}": encode(photo, subsampling=one) for one in range(3)}
    files |= {"progressive": encode(photo, progressive=True), "grey": encode(photo.convert("L"))}
    check_equal(files)


def test_every_mode_looks_as_in_the_records():
    photo = picture(200, 130)
    alpha = photo.convert("RGBA")
    alpha.putalpha(picture(200, 130, seed=1).convert("L"))
    files = {
        "PNG RGBA": encode(alpha, "PNG"),
        "PNG LA": encode(alpha.convert("LA"), "PNG"),
        "PNG L": encode(photo.convert("L"), "PNG"),
        "PNG 1": encode(photo.convert("1"), "PNG"),
        "PNG P": encode(photo.quantize(60), "PNG"),
        "PNG P, one transparent": encode(photo.quantize(60), "PNG", transparency=3),
        "PNG P, alphas": encode(photo.quantize(60), "PNG", transparency=bytes(range(0, 240, 4))),
        "GIF": encode(photo.quantize(60), "GIF"),
        "GIF, frames": encode(photo, "GIF", save_all=True, append_images=[picture(200, 130, 2)]),
        "BMP L": encode(photo.convert("L"), "BMP"),
        "BMP RGBA": encode(alpha, "BMP"),
        "WEBP RGBA": encode(alpha, "WEBP", lossless=True),
        "WEBP RGBA, lossy": encode(alpha, "WEBP", quality=70),
        "MPO": encode(photo, "MPO", save_all=True, append_images=[picture(200, 130, 2)]),
    }
    files |= {f"PNG P{n}": encode(photo.quantize(2**n), "PNG", bits=n) for n in (1, 2, 4)}
    check_equal(files)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_as_pillow_turns_it(orientation):
    photo = picture(5, 3)
    turned = turn_upright(tf.constant(np.asarray(photo)), tf.constant(orientation))
    photo.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(photo)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_turned_upright_by_its_metadata(orientation):
    photo = picture(200, 130)
    exif = Image.Exif()
    exif[0x0112] = orientation
    check_equal(
        {
            "JPEG": insert(encode(photo), exif_segment(orientation)),
            "JPEG, XMP": insert(encode(photo), xmp_segment(orientation)),
            "PNG": insert_chunk(encode(photo, "PNG"), b"eXIf", tiff_block(orientation)),
            "WEBP": encode(photo, "WEBP", exif=exif),
            "large": insert(encode(picture(1300, 700)), exif_segment(orientation, ">", 4)),
        }
    )


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


def test_a_photo_of_one_pixel_has_a_view():
    assert views(encode(picture(1, 1)))[0].shape == (1, 32, 32, 3)
