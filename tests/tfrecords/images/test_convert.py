"""Whatever a user calls a photo comes out upright, RGB and JPEG, or with the reason why not."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from paths import REPOSITORY
from photo_files import encode, grain, png_header
from PIL import Image

from tfrecords.common.types import REASONS
from tfrecords.images.convert import PhotoError, prepare_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLOURS = [RED, GREEN, BLUE, WHITE]  # top left, top right, bottom left, bottom right
GREYS = [0, 85, 170, 255]
PALETTE = [channel for colour in COLOURS for channel in colour]


def quadrants(mode, values):
    """A photo of 96 x 64 pixels with one value per quarter."""
    photo = Image.new(mode, (96, 64))
    corners = [(0, 0), (48, 0), (0, 32), (48, 32)]
    for (left, top), value in zip(corners, values, strict=True):
        photo.paste(value, (left, top, left + 48, top + 32))
    return photo


def quarter_colours(jpeg):
    """Mean colour of each quarter, without the 8 pixels at its rim where JPEG mixes them."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)), float)
    height, width, _ = pixels.shape
    halves = [(0, width // 2), (width // 2, width)]
    return [
        pixels[top + 8 : bottom - 8, left + 8 : right - 8].mean((0, 1))
        for top, bottom in ((0, height // 2), (height // 2, height))
        for left, right in halves
    ]


def palette_photo():
    photo = quadrants("P", range(4))
    photo.putpalette(PALETTE)
    return photo


def grey16_photo(mode, byte_order):
    values = np.repeat(np.repeat([[0, 0x4040], [0x8080, 0xFFFF]], 32, 0), 48, 1)
    return Image.frombytes(mode, (96, 64), values.astype(f"{byte_order}u2").tobytes())


def grey_colours(values):
    return [(value, value, value) for value in values]


SEE_THROUGH = [(*RED, 255), (*GREEN, 0), (*BLUE, 128), (0, 0, 0, 255)]
SEEN_ON_WHITE = [RED, WHITE, (127, 127, 255), (0, 0, 0)]
KINDS = {
    "jpeg": (encode(quadrants("RGB", COLOURS), "JPEG"), COLOURS),
    "progressive jpeg": (encode(quadrants("RGB", COLOURS), "JPEG", progressive=True), COLOURS),
    "grey jpeg": (encode(quadrants("L", GREYS), "JPEG"), grey_colours(GREYS)),
    "cmyk jpeg": (encode(quadrants("RGB", COLOURS).convert("CMYK"), "JPEG"), COLOURS),
    "multi-picture jpeg": (
        encode(
            quadrants("RGB", COLOURS),
            "MPO",
            save_all=True,
            append_images=[Image.new("RGB", (96, 64))],
        ),
        COLOURS,
    ),
    "png": (encode(quadrants("RGB", COLOURS), "PNG"), COLOURS),
    "rgba png": (encode(quadrants("RGBA", SEE_THROUGH), "PNG"), SEEN_ON_WHITE),
    "grey png": (encode(quadrants("L", GREYS), "PNG"), grey_colours(GREYS)),
    "la png": (
        encode(quadrants("LA", [(0, 255), (0, 0), (0, 128), (85, 255)]), "PNG"),
        grey_colours([0, 255, 127, 85]),
    ),
    "palette png": (encode(palette_photo(), "PNG"), COLOURS),
    "palette png with transparency": (
        encode(palette_photo(), "PNG", transparency=1),
        [RED, WHITE, BLUE, WHITE],
    ),
    "16-bit grey png": (
        encode(grey16_photo("I;16", "<"), "PNG"),
        grey_colours([0, 64, 128, 255]),
    ),
    "1-bit png": (
        encode(quadrants("1", [0, 1, 1, 0]), "PNG"),
        grey_colours([0, 255, 255, 0]),
    ),
    "gif": (encode(palette_photo(), "GIF"), COLOURS),
    "gif with transparency": (
        encode(palette_photo(), "GIF", transparency=1),
        [RED, WHITE, BLUE, WHITE],
    ),
    "animated gif": (
        encode(
            quadrants("RGB", COLOURS),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (96, 64), "black")],
        ),
        COLOURS,
    ),
    "webp": (encode(quadrants("RGB", COLOURS), "WEBP", quality=95), COLOURS),
    "webp with transparency": (
        encode(quadrants("RGBA", SEE_THROUGH), "WEBP", lossless=True),
        SEEN_ON_WHITE,
    ),
    "avif": (encode(quadrants("RGB", COLOURS), "AVIF", quality=95), COLOURS),
    "tiff": (encode(quadrants("RGB", COLOURS), "TIFF"), COLOURS),
    "cmyk tiff": (encode(quadrants("RGB", COLOURS).convert("CMYK"), "TIFF"), COLOURS),
    "16-bit grey tiff": (
        encode(grey16_photo("I;16", "<"), "TIFF"),
        grey_colours([0, 64, 128, 255]),
    ),
    "big-endian 16-bit grey tiff": (
        encode(grey16_photo("I;16B", ">"), "TIFF"),
        grey_colours([0, 64, 128, 255]),
    ),
    "floating-point tiff": (
        encode(quadrants("F", [0.0, 0.25, 0.5, 1.0]), "TIFF"),
        grey_colours([0, 64, 128, 255]),
    ),
    "bmp": (encode(quadrants("RGB", COLOURS), "BMP"), COLOURS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_photo_becomes_an_rgb_jpeg_of_its_colours(kind):
    data, colours = KINDS[kind]
    jpeg = prepare_photo(data, short_side=256)
    photo = Image.open(io.BytesIO(jpeg))
    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (96, 64))
    np.testing.assert_allclose(quarter_colours(jpeg), colours, atol=5)


def test_tensorflow_decodes_every_result_as_three_channels():
    import tensorflow as tf

    for kind, (data, _) in KINDS.items():
        if kind == "big-endian 16-bit grey tiff":
            continue  # has its own line in the test above
        pixels = tf.io.decode_jpeg(prepare_photo(data, short_side=256))
        assert (kind, pixels.shape, pixels.dtype) == (kind, (64, 96, 3), tf.uint8)


@pytest.mark.parametrize(
    ("orientation", "as_stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),  # Pillow turns to the left; 6 asks to turn to the right
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_comes_out_upright(orientation, as_stored, file_format):
    photo = quadrants("RGB", COLOURS)
    stored = photo if as_stored is None else photo.transpose(as_stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = prepare_photo(encode(stored, file_format, exif=exif), short_side=256)
    assert Image.open(io.BytesIO(jpeg)).size == (96, 64)
    np.testing.assert_allclose(quarter_colours(jpeg), COLOURS, atol=5)


def test_a_large_turned_photo_is_upright_and_scaled():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = quadrants("RGB", COLOURS).resize((1200, 800)).transpose(Image.Transpose.ROTATE_90)
    jpeg = prepare_photo(encode(stored, "JPEG", exif=exif), short_side=64)
    assert Image.open(io.BytesIO(jpeg)).size == (96, 64)
    np.testing.assert_allclose(quarter_colours(jpeg), COLOURS, atol=5)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((800, 600), 256, (341, 256)),
        ((600, 800), 256, (256, 341)),
        ((257, 300), 256, (256, 299)),
        ((256, 300), 256, (256, 300)),  # from here on: small enough, kept
        ((255, 2000), 256, (255, 2000)),
        ((33, 32), 256, (33, 32)),
        ((2000, 1500), 64, (85, 64)),  # libjpeg scales this one down while it decodes
        ((1999, 1501), 64, (85, 64)),
        ((3000, 40), 32, (2400, 32)),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "BMP"])
def test_short_side_is_exact_and_smaller_photos_keep_their_size(
    size, short_side, expected, file_format
):
    jpeg = prepare_photo(encode(Image.new("RGB", size), file_format), short_side)
    assert Image.open(io.BytesIO(jpeg)).size == expected


def test_nothing_but_the_picture_is_left():
    exif = Image.Exif()
    exif[0x010F] = "camera"
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)  # where the photographer stood
    data = encode(
        grain(64, 48),
        "JPEG",
        exif=exif,
        xmp=b"<x:xmpmeta>camera</x:xmpmeta>",
        comment="camera",
        dpi=(300, 300),
        icc_profile=b"camera" * 30,
    )
    assert data.count(b"camera") > 30
    jpeg = prepare_photo(data, short_side=256)
    assert b"camera" not in jpeg
    assert set(Image.open(io.BytesIO(jpeg)).info) == {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
    }


@pytest.mark.parametrize("kind", ["jpeg", "rgba png", "16-bit grey png", "animated gif", "avif"])
def test_same_photo_same_bytes(kind):
    data, _ = KINDS[kind]
    assert prepare_photo(data, short_side=40) == prepare_photo(data, short_side=40)


def reason_of(data, short_side=256):
    with pytest.raises(PhotoError) as error:
        prepare_photo(data, short_side)
    assert error.value.reason in REASONS
    assert str(error.value) == error.value.reason
    return error.value.reason


def test_no_bytes_is_empty():
    assert reason_of(b"") == "empty"


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"to do: sort these",
        b"\x00",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        bytes(1000),
    ],
)
def test_another_kind_of_file_is_not_a_photo(data):
    assert reason_of(data) == "not a photo"


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
    ],
)
def test_a_photo_that_ends_early_is_damaged(file_format, options):
    data = encode(grain(96, 64), file_format, **options)
    assert reason_of(data[: len(data) // 2]) == "damaged"


@pytest.mark.parametrize("file_format", ["AVIF", "WEBP", "TIFF"])
def test_other_photos_that_end_early_have_a_reason(file_format):
    data = encode(grain(96, 64), file_format)
    assert reason_of(data[: len(data) // 2]) in ("damaged", "not a photo")


def test_an_avif_with_bad_pixels_is_damaged():
    """Pillow raises RuntimeError here, unlike for all other formats."""
    data = encode(grain(96, 64), "AVIF")
    pixels = data.index(b"mdat") + 4
    assert reason_of(data[:pixels] + bytes(16) + data[pixels + 16 :]) == "damaged"


def test_an_avif_that_does_not_say_where_its_pixels_are_has_a_reason():
    """RuntimeError again, from opening the file."""
    data = encode(grain(96, 64), "AVIF").replace(b"iloc", b"free")
    assert reason_of(data) in ("damaged", "not a photo")


def test_a_large_photo_that_ends_early_is_damaged():
    data = encode(grain(900, 700), "JPEG")
    assert reason_of(data[: len(data) // 2], short_side=64) == "damaged"


def test_a_png_with_a_flipped_byte_is_damaged():
    data = bytearray(encode(grain(96, 64), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert reason_of(bytes(data)) == "damaged"


def test_odd_exif_of_a_turned_photo_is_no_crash():
    """An EXIF width that is text: Pillow can read the block but not write it again."""
    exif = Image.Exif()
    exif[0x0100] = 7
    exif[0x0112] = 6
    data = encode(quadrants("RGB", COLOURS), "JPEG", exif=exif)
    entry = data.index(struct.pack(">HHI", 0x0100, 4, 1))
    data = data[:entry] + struct.pack(">HHI", 0x0100, 2, 1) + data[entry + 8 :]
    with suppress(PhotoError):  # to leave it out is as good
        jpeg = prepare_photo(data, short_side=256)
        assert Image.open(io.BytesIO(jpeg)).size == (64, 96)


@pytest.mark.parametrize("size", [(1, 1), (31, 500), (500, 31)])
def test_a_photo_below_32_pixels_is_too_small(size):
    assert reason_of(encode(Image.new("RGB", size), "PNG")) == "too small"


def test_a_photo_of_32_pixels_is_kept():
    jpeg = prepare_photo(encode(Image.new("RGB", (32, 32)), "PNG"), short_side=256)
    assert Image.open(io.BytesIO(jpeg)).size == (32, 32)


@pytest.mark.parametrize("size", [(20_001, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_too_large(size):
    assert reason_of(png_header(*size)) == "too large"


@pytest.mark.parametrize("size", [(9_500, 9_500), (11_000, 11_000)])
def test_up_to_500_mb_of_pixels_are_not_too_large(size):
    """Without a warning too; the header alone is then found to lack its pixels."""
    assert reason_of(png_header(*size)) == "damaged"


def test_a_panorama_longer_than_jpeg_allows_has_a_reason():
    """JPEG ends at 65,500 pixels; a photo whose short side is small enough is not scaled down."""
    assert reason_of(encode(Image.new("L", (65_600, 32)), "PNG")) == "too large"


def test_the_docs_explain_every_reason():
    page = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |\n" in page
