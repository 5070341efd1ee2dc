"""The one decoder: the picture that every viewer shows, or a reason, in bounded memory and time."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from paths import PYTHONPATH
from photo_files import (
    DISPLAY_P3,
    color_profile,
    encode,
    exif_segment,
    grain,
    insert,
    insert_chunk,
    jpeg_segment,
    picture,
    png_chunk,
    png_header,
    tiff_block,
    xmp_packet,
    xmp_segment,
)
from PIL import Image, ImageCms

from tfrecords.common.types import REASONS
from tfrecords.images import decode
from tfrecords.images.colors import is_srgb
from tfrecords.images.decode import HEAD_BYTES, PhotoError, decode_photo, starts_like_photo
from tfrecords.images.orientation import turn_upright

TURNED = Image.Transpose.ROTATE_90  # what a camera stores where it asks to be turned by 6


def pixels(data, short_side=256):
    photo = decode_photo(data, short_side)
    assert (photo.mode, photo.info) == ("RGB", {})
    return np.asarray(photo)


def reason_of(data, short_side=256):
    with pytest.raises(PhotoError) as error:
        decode_photo(data, short_side)
    assert error.value.reason in REASONS
    return error.value.reason


def difference(data, expected):
    """Mean difference from an image, in grey values of 255."""
    found, expected = pixels(data).astype(float), np.asarray(expected.convert("RGB"), float)
    assert found.shape == expected.shape
    return np.abs(found - expected).mean()


# Orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 8, 9, 11])
def test_an_orientation_of_any_number_type_turns_the_photo(order, kind):
    data = insert(encode(picture().transpose(TURNED), quality=95), exif_segment(6, order, kind))
    assert difference(data, picture()) < 3


PLACES = {
    "behind the tables": lambda jpeg: insert(jpeg, exif_segment(6), before=b"\xff\xc0"),
    "behind fill bytes": lambda jpeg: insert(jpeg, b"\xff\xff\xff" + exif_segment(6)),
    "behind 200 KB of other segments": lambda jpeg: insert(
        jpeg, jpeg_segment(0xE2, bytes(50_000)) * 4 + exif_segment(6)
    ),
    "in XMP alone": lambda jpeg: insert(jpeg, xmp_segment(6)),
    "in EXIF and otherwise in XMP": lambda jpeg: insert(jpeg, exif_segment(6) + xmp_segment(3)),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_orientation_is_found_anywhere_in_a_jpeg(place):
    data = PLACES[place](encode(picture().transpose(TURNED), quality=95))
    assert difference(data, picture()) < 3


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"eXIf", tiff_block(6)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(6)),
        (b"tEXt", b"Raw profile type exif\0\nexif\n  32\n" + tiff_block(6).hex().encode()),
    ],
)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_an_orientation_is_found_anywhere_in_a_png(name, body, before):
    data = insert_chunk(encode(picture().transpose(TURNED), "PNG"), name, body, before)
    assert difference(data, picture()) == 0


@pytest.mark.parametrize("settings", [{"exif": tiff_block(6)}, {"xmp": xmp_packet(6)}])
def test_an_orientation_is_found_in_a_webp(settings):
    data = encode(picture().transpose(TURNED), "WEBP", lossless=True, **settings)
    assert difference(data, picture()) == 0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("body", [b"", b"II*\0\xff\xff\xff\xff", tiff_block(0), tiff_block(9)])
def test_a_wrong_orientation_leaves_the_photo_as_it_is(body):
    data = insert(encode(picture(), quality=95), jpeg_segment(0xE1, b"Exif\0\0" + body))
    assert difference(data, picture()) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_undone(orientation):
    photo = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for style in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        data = encode(photo, style, exif=exif, quality=95, lossless=True)
        assert difference(data, turn_upright(photo, orientation)) < 3


# Transparency, palettes, animations, depth


def with_hole(photo, value, box=(10, 10, 60, 40)):
    photo = photo.copy()
    photo.paste(value, box)
    return photo


def test_a_transparent_colour_becomes_white():
    key = with_hole(picture(), (1, 2, 3))
    data = encode(key, "PNG", transparency=(1, 2, 3))
    assert difference(data, with_hole(picture(), "white")) == 0
    grey = picture().convert("L").point(lambda value: max(value, 10))
    data = encode(with_hole(grey, 3), "PNG", transparency=3)
    assert difference(data, with_hole(grey, 255)) == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits_becomes_white(bits):
    """The grey is given in the units of the file, 0 to 3 for two bits."""
    top = 2**bits - 1
    samples = np.tile(np.arange(64) % (top + 1), (48, 1)).astype(np.uint8)
    rows = np.unpackbits(samples[..., None], axis=-1)[..., -bits:].reshape(48, -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    png = png_header(64, 48, bits, 0, lines)
    data = insert_chunk(png, b"tRNS", struct.pack(">H", 1))
    expected = np.where(samples == 1, 255, samples * (255 // top))
    np.testing.assert_array_equal(pixels(data)[..., 0], expected)


def test_a_transparent_grey_of_16_bits_becomes_white():
    values = np.repeat((np.arange(48) * 1300).astype(">u2")[:, None], 64, 1)
    lines = b"".join(b"\0" + row.tobytes() for row in values)
    data = insert_chunk(png_header(64, 48, 16, 0, lines), b"tRNS", struct.pack(">H", 1300))
    expected = np.arange(48) * 1300 * 255 // 65_535
    expected[1] = 255
    np.testing.assert_array_equal(pixels(data)[:, 0, 0], expected)


def test_a_gif_with_a_transparent_colour_becomes_white():
    palette = picture().quantize(63)
    hole = with_hole(palette, 63)
    hole.putpalette([*palette.getpalette()[:189], 10, 20, 30])
    expected = with_hole(palette.convert("RGB"), "white")
    assert difference(encode(hole, "GIF", transparency=63), expected) == 0


@pytest.mark.parametrize("style", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_gives_its_first_frame(style):
    frames = [picture(160, 120, seed) for seed in range(5)]
    data = encode(frames[0], style, save_all=True, append_images=frames[1:], quality=95)
    assert difference(data, frames[0]) < (25 if style == "GIF" else 4)  # a palette is coarse


def test_a_bmp_with_a_palette_has_its_colours():
    palette = picture().quantize(200)
    assert difference(encode(palette, "BMP"), palette) == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_float_photo_keeps_its_greys_where_a_pixel_is_no_number(wrong):
    values = np.asarray(picture().convert("L"), np.float32) / 255
    spoilt = values.copy()
    spoilt[0, 0] = wrong
    whole, found = (pixels(encode(Image.fromarray(one), "TIFF")) for one in (values, spoilt))
    np.testing.assert_array_equal(found[1:], whole[1:])
    assert (found[0, 0, 0] > 0) == (wrong == np.inf)


def test_a_float_photo_without_a_number_is_damaged():
    nothing = Image.fromarray(np.full((40, 40), np.nan, np.float32))
    assert reason_of(encode(nothing, "TIFF")) == "damaged"


def test_integers_above_16_bits_are_scaled():
    values = np.linspace(0, 10_000_000, 1600).reshape(40, 40).astype(np.int32)
    found = pixels(encode(Image.fromarray(values), "TIFF"))
    assert (found.min(), found.max()) == (0, 255)
    assert 110 < found.mean() < 145


# Colour profiles


def as_wide(photo, profile):
    """The same colours, written down in the profile's own numbers."""
    return ImageCms.profileToProfile(
        photo, ImageCms.createProfile("sRGB"), io.BytesIO(profile), outputMode="RGB"
    )


@pytest.mark.parametrize("style", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_colour_profile_is_converted_to_srgb(style):
    photo = picture().point(lambda value: 60 + value // 2)  # colours that both spaces have
    wide = as_wide(photo, DISPLAY_P3)
    assert np.abs(np.asarray(wide, float) - np.asarray(photo)).mean() > 4
    data = encode(wide, style, icc_profile=DISPLAY_P3, quality=98, lossless=True)
    assert difference(data, photo) < 2


SRGB_PRIMARIES = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_a_profile_of_srgb_changes_nothing():
    plain = encode(picture())
    assert is_srgb(SRGB)
    assert not is_srgb(DISPLAY_P3)
    for gamma in (1.0, 1.8, 2.2):
        assert not is_srgb(color_profile(SRGB_PRIMARIES, gamma))
    np.testing.assert_array_equal(pixels(encode(picture(), icc_profile=SRGB)), pixels(plain))


@pytest.mark.parametrize(
    "profile",
    [b"junk" * 50, SRGB[:100], DISPLAY_P3[:200], DISPLAY_P3[:16] + b"CMYK" + DISPLAY_P3[20:]],
    ids=["junk", "short", "shorter than its tags", "other space"],  # SRGB holds the time it is made
)
def test_a_broken_profile_is_ignored(profile):
    assert not is_srgb(profile)
    found = pixels(encode(picture(), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(found, np.asarray(picture()))


def test_a_profile_of_grey_is_for_grey_photos_only():
    grey = picture().convert("L")
    data = encode(grey, "PNG", icc_profile=DISPLAY_P3)
    np.testing.assert_array_equal(pixels(data)[..., 0], np.asarray(grey))


def test_lab_becomes_srgb():
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(picture(), to_lab)
    assert difference(encode(lab, "TIFF"), picture()) < 3


# Truncated JPEGs


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("cut", [1, 2, 10, 30])
def test_a_jpeg_that_lacks_only_its_last_bytes_is_kept(settings, cut):
    data = encode(grain(320, 240), quality=90, **settings)
    whole, found = pixels(data), pixels(data[:-cut])
    assert whole.shape == found.shape
    rows = (whole != found).any((1, 2))
    assert rows[:-17].sum() == 0 or settings.get("progressive")
    assert np.abs(whole.astype(int) - found).mean() < 1


@pytest.mark.parametrize("settings", [{}, {"progressive": True}])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.8, 0.95])
def test_a_jpeg_that_lacks_more_is_damaged(settings, kept):
    data = encode(grain(320, 240), quality=90, **settings)
    assert reason_of(data[: int(kept * len(data))]) == "damaged"


def test_a_progressive_jpeg_that_ends_between_two_scans_is_damaged():
    data = encode(grain(320, 240), quality=90, progressive=True)
    starts = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    for start in starts[1:]:
        table = data.rindex(b"\xff\xc4", 0, start)
        assert reason_of(data[:start]) == reason_of(data[:table]) == "damaged"


def test_a_large_jpeg_that_lacks_its_end_is_scaled_as_a_whole_one():
    data = encode(picture(1600, 1200))
    np.testing.assert_array_equal(pixels(data[:-2], 64), pixels(data, 64))


# What is not decoded


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n",
        b"\x00\x00\x01\x00\x01\x00" + bytes(100),
        b"icns" + bytes(100),
        b"SIMPLE  =                    T" + bytes(3000),
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"BMW, a manual",
        b"P5 is a chapter of this text",
    ],
)
def test_other_formats_of_pillow_are_never_reached(data):
    assert reason_of(data) == "not a photo"


@pytest.mark.parametrize("style", ["ICO", "ICNS", "TGA", "PCX", "SGI", "EPS", "PDF", "DDS"])
def test_files_of_other_formats_are_no_photos(style):
    assert reason_of(encode(picture(64, 64), style)) == "not a photo"


@pytest.mark.parametrize(
    "style", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"]
)
def test_the_formats_of_photos_are_read(style):
    assert pixels(encode(picture(), style)).shape == (60, 90, 3)


def test_a_palette_photo_without_a_palette_is_damaged():
    data = png_header(64, 48, 8, 3, bytes(65 * 48))
    assert reason_of(data) == "damaged"


def test_whatever_a_decoder_raises_the_photo_is_damaged(monkeypatch):
    def fail(photo, data, short_side):
        raise RecursionError

    monkeypatch.setattr(decode, "_load", fail)
    with pytest.raises(PhotoError) as error:
        decode_photo(encode(picture()), 256)
    assert (error.value.reason, error.value.detail) == ("damaged", "RecursionError")


def test_ctrl_c_is_no_damage(monkeypatch):
    def interrupt(photo, data, short_side):
        raise KeyboardInterrupt

    monkeypatch.setattr(decode, "_load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_photo(encode(picture()), 256)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_a_heic_photo_names_the_extra_that_reads_it(monkeypatch):
    monkeypatch.setattr(decode, "find_spec", lambda name: None)
    assert reason_of(HEIC) == "HEIC"
    assert "pip install -e '.[heif]'" in REASONS["HEIC"]
    assert reason_of(HEIC.replace(b"heic", b"isom")) == "not a photo"


def test_a_heic_photo_is_read_where_the_extra_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = picture(200, 100)
    out = io.BytesIO()
    pillow_heif.from_pillow(photo).save(out, quality=90)
    assert difference(out.getvalue(), photo) < 4
    assert reason_of(out.getvalue()[:300]) == "damaged"


# Cost


def png_of_zeros(width, height, depth, color, palette=b""):
    """A decompression bomb: pixels of one value."""
    line = b"\0" + bytes((width * depth * {0: 1, 2: 3, 3: 1, 6: 4}[color] + 7) // 8)
    press = zlib.compressobj(9)
    body = b"".join(press.compress(line) for _ in range(height)) + press.flush()
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    parts = head + palette + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


MEASURE = """
import resource, sys, time
from tfrecords.images.decode import PhotoError, decode_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    result = decode_photo(open(sys.argv[1], "rb").read(), 256).size
except PhotoError as error:
    result = error.reason
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(result, (after - before) // 1024, sep=";")
"""
TRANSPARENT_PALETTE = png_chunk(b"PLTE", bytes(6)) + png_chunk(b"tRNS", b"\x80\xff")


@pytest.mark.parametrize(
    ("size", "depth", "color", "palette", "expected"),
    [
        ((9_000, 9_000), 8, 3, TRANSPARENT_PALETTE, "(256, 256)"),
        ((9_000, 9_000), 1, 0, b"", "(256, 256)"),
        ((14_000, 14_000), 8, 3, TRANSPARENT_PALETTE, "too large"),
        ((15_000, 15_000), 8, 2, b"", "too large"),
    ],
)
def test_a_decompression_bomb_costs_bounded_memory(size, depth, color, palette, expected, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_of_zeros(*size, depth, color, palette))
    command = [sys.executable, "-c", MEASURE, tmp_path / "bomb.png"]
    env = {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    result, megabytes = done.stdout.strip().split(";")
    assert result == expected
    assert int(megabytes) < 500


def test_a_photo_of_200_million_pixels_is_scaled_while_it_is_decoded():
    jpeg = bytearray(encode(picture(64, 64), quality=30))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 12_240, 16_320)
    assert pixels(bytes(jpeg)).shape == (256, 341, 3)  # grey, where libjpeg finds no pixels
    jpeg[frame : frame + 4] = struct.pack(">HH", 12_260, 16_320)
    assert reason_of(bytes(jpeg)) == "too large"


@pytest.mark.parametrize(
    ("size", "reason"),
    [((11_000, 11_000), "damaged"), ((11_300, 11_100), "too large"), ((2**31 - 1, 9), "too large")],
)
def test_pixels_that_need_over_500_mb_are_too_large(size, reason):
    assert reason_of(png_header(*size)) == reason


def test_strips_give_what_the_whole_gives(monkeypatch):
    photo = picture(1000, 903).convert("RGBA")
    photo.putalpha(picture(1000, 903, seed=1).convert("L"))
    data = encode(photo, "PNG")
    whole = pixels(data, 64)
    monkeypatch.setattr("tfrecords.images.colors.STRIP_PIXELS", 20_000)
    np.testing.assert_array_equal(pixels(data, 64), whole)


def test_pillow_s_own_bound_is_left_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    decode_photo(encode(picture()), 256)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "format", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"]
)
def test_every_format_is_known_by_its_first_bytes(format):
    data = io.BytesIO()
    Image.new("RGB", (40, 40)).save(data, format)
    assert starts_like_photo(data.getvalue()[:HEAD_BYTES])


def test_heic_is_known_as_a_photo_without_its_decoder():
    assert starts_like_photo(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.parametrize("start", [b"", b"<html>", b'{"error": 1}', b"%!PS-Adobe", b"RIFF", b"PK"])
def test_other_files_are_known_not_to_be_photos(start):
    assert not starts_like_photo(start)
