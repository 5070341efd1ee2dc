"""Pixels of any mode, with any colour profile, become sRGB."""

import io
import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

STRIP_PIXELS = 2**22  # converted at once: what bounds the memory
DEEP_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
COLOR_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # of profiles -> Pillow's mode

# The primaries of sRGB for the D50 white of profiles: X, Y, Z of red, green and blue.
PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
MAX_TAGS = 99  # of a profile; more is no real one
CURVES = (b"rTRC", b"gTRC", b"bTRC")
PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # of the curve of sRGB
FIXED = 65536  # a profile's numbers are in units of 1/65536
TOLERANCE = 0.002 * FIXED  # 1/65536; profiles of sRGB round and adapt their primaries differently
CURVE_TOLERANCE = 0.005  # of 1: one step of 255 is 0.004


def reduced_rgb(photo: Image.Image, factors: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Makes a loaded image RGB, what is transparent white, and averages cells of pixels.

    It is done strip by strip, so that a large palette image never has four bytes for each pixel.

    Args:
        photo: Image of any mode.
        factors: Ints, columns and rows of a cell.
        mode: Of the result: "RGB", or that of `photo`, which then stays as it is.
    """
    if photo.mode == mode and (mode != "RGB" or not photo.has_transparency_data):
        return _reduce(photo, factors)
    convert = _deep_grey(photo) if photo.mode in DEEP_GREY else _to_rgb
    width, height = photo.size
    rows = max(STRIP_PIXELS // width // factors[1], 1) * factors[1]
    if rows >= height:
        return _reduce(convert(photo), factors)
    target = Image.new("RGB", (-(-width // factors[0]), -(-height // factors[1])))
    for top in range(0, height, rows):
        strip = photo.crop((0, top, width, min(top + rows, height)))
        target.paste(_reduce(convert(strip), factors), (0, top // factors[1]))
    return target


def color_transform(photo: Image.Image) -> tuple[str, Callable[[Image.Image], Image.Image] | None]:
    """Returns how the colours of an image become sRGB.

    Returns:
        The mode that its pixels must have for that, and a function from an image of this mode to
        one in sRGB; None where it is sRGB already, has no profile, or one that can't be used.
    """
    if photo.mode == "LAB":
        return "LAB", _from_profile(None, "LAB")
    profile = photo.info.get("icc_profile") or b""
    grey = photo.mode in ("1", "L", "LA", "La", *DEEP_GREY)
    mode = "CMYK" if photo.mode == "CMYK" else "L" if grey else "RGB"
    if COLOR_SPACES.get(profile[16:20]) != mode or is_srgb(profile):
        return "RGB", None
    transform = _from_profile(profile, mode)
    if mode == "L":  # its three channels are equal by then
        return "RGB", transform and (lambda photo: transform(photo.getchannel(0)))
    return (mode, transform) if transform else ("RGB", None)


@lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """Whether a colour profile (ICC) is one of the many that describe sRGB.

    Its three primaries and the curves of its three channels are compared with sRGB's. An export
    applies the same test in `glr_keras.decoding.file_metadata`.

    Reference:
    - [ICC.1:2022](https://www.color.org/specification/ICC.1-2022-05.pdf), 8.4, 10.6, 10.18, 10.31
    """
    try:
        count = struct.unpack_from(">I", profile, 128)[0]
        if profile[16:24] != b"RGB XYZ " or count > MAX_TAGS:
            return False
        entries = [struct.unpack_from(">4sI", profile, 132 + 12 * i) for i in range(count)]
        tags = dict(reversed(entries))  # of equal tags the first counts
        if b"A2B0" in tags:
            return False
        for tag, primary in PRIMARIES.items():
            numbers = struct.unpack_from(">3i", profile, tags[tag] + 8)
            if not _is_near(numbers, primary):
                return False
        return all(_is_srgb_curve(profile, tags[tag]) for tag in CURVES)
    except (struct.error, KeyError):
        return False


def srgb_linear(value):
    """The curve of sRGB: from [0, 1] to linear light in [0, 1]."""
    return np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)


def _is_srgb_curve(profile, place):
    kind = profile[place : place + 4]
    if kind == b"para":
        function = struct.unpack_from(">H", profile, place + 8)[0]
        return function == 3 and _is_near(
            struct.unpack_from(">5i", profile, place + 12), PARAMETERS
        )
    (count,) = struct.unpack_from(">I", profile, place + 8)
    if kind != b"curv" or not 16 <= count <= 65_535:
        return False
    for sixteenths in (1, 4, 8, 12):
        entry = (count - 1) * sixteenths // 16
        (value,) = struct.unpack_from(">H", profile, place + 12 + 2 * entry)
        if abs(value / 65_535 - srgb_linear(entry / (count - 1))) > CURVE_TOLERANCE:
            return False
    return True


def _is_near(numbers, expected):
    pairs = zip(numbers, expected, strict=True)
    return all(abs(number - FIXED * one) <= TOLERANCE for number, one in pairs)


@lru_cache(maxsize=16)  # photos of one camera share theirs
def _from_profile(profile, mode):
    try:
        source = ImageCms.createProfile("LAB")
        if profile is not None:
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return lambda photo: ImageCms.applyTransform(photo, transform)


def _reduce(photo, factors):
    # JPEG 2000 files have an attribute of that name.
    return photo if factors == (1, 1) else Image.Image.reduce(photo, factors)


def _to_rgb(photo):
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo)
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _deep_grey(photo):
    """Returns what makes strips of an image with more than 256 greys RGB.

    Pillow clips instead of scaling when it converts these, which gives a white photo.
    """
    high = _highest(photo)
    is_float = photo.mode == "F"
    scale = 255 / max(high, 1 if is_float or high <= 255 else 65_535)
    transparent = photo.info.get("transparency")

    def convert(strip):
        if is_float:
            values = np.nan_to_num(np.asarray(strip), nan=0, posinf=high, neginf=0)
            deep = Image.fromarray(values)
        else:
            deep = strip.convert("I")
        grey = deep.point(lambda value: value * scale).convert("L")
        if isinstance(transparent, int):
            grey.paste(255, mask=Image.fromarray(np.asarray(deep) == transparent))
        return grey.convert("RGB")

    return convert


def _highest(photo):
    """The highest value that is finite, of an image with more than 256 greys."""
    rows = max(STRIP_PIXELS // photo.width, 1)
    highs = []
    for top in range(0, photo.height, rows):
        strip = photo.crop((0, top, photo.width, min(top + rows, photo.height)))
        values = np.asarray(strip if photo.mode == "F" else strip.convert("I"))
        finite = values[np.isfinite(values)]
        highs += [float(finite.max())] if finite.size else []
    if not highs:
        raise ValueError("no pixel is a number")
    return max(highs)
