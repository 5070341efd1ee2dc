"""One photo: any file a user calls a photo becomes an upright RGB JPEG, or a reason why not."""

import io
import struct
from contextlib import suppress

from PIL import Image, ImageOps

from tfrecords.common.types import MAX_PIXELS, MIN_SIDE

JPEG_QUALITY = 92
MAX_SIDE = 65_500  # pixels; libjpeg writes no longer side


class PhotoError(ValueError):
    """A photo that is left out. `reason` is a key of `REASONS`."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def prepare_photo(data: bytes, short_side: int) -> bytes:
    """Makes the JPEG that goes into a record.

    EXIF orientation is applied, CMYK, grey, 16-bit and palette photos become RGB, what is
    transparent becomes white, an animation gives its first frame, and a short side above
    `short_side` pixels is scaled down to it (a smaller photo keeps its size).

    Args:
        data: Bytes of a file in any format Pillow reads: JPEG, PNG, WebP, AVIF, GIF, TIFF, ...
        short_side: Int, pixels.

    Returns:
        Bytes of an RGB JPEG without metadata.

    Raises:
        PhotoError: the photo can't be used; its `reason` says why.
    """
    if not data:
        raise PhotoError("empty")
    photo = _open(data)
    try:
        # Lets libjpeg drop what will be scaled away anyway: half the time on a phone's photo.
        # The factor 2 leaves the filter below enough pixels to work on.
        if photo.mode in ("RGB", "L"):
            photo.draft(photo.mode, (2 * short_side, 2 * short_side))
        photo.load()
        photo = _shrink(upright_rgb(photo), short_side)
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, RuntimeError) as error:
        raise PhotoError("damaged") from error
    if max(photo.size) > MAX_SIDE:
        raise PhotoError("too large")
    photo.info.clear()  # Pillow would write a comment found here into the JPEG
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def upright_rgb(photo: Image.Image) -> Image.Image:
    """Turns a photo by its EXIF and makes it RGB, whatever its mode; what is transparent, white."""
    return _to_rgb(_upright(photo))


def _open(data):
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own limit is 179 million
    try:
        photo = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError("too large") from error
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:
        known = data.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8"))
        known = known or data[8:12] in (b"WEBP", b"avif", b"avis")
        raise PhotoError("damaged" if known else "not a photo") from error
    if photo.width * photo.height > MAX_PIXELS:
        raise PhotoError("too large")
    if min(photo.size) < MIN_SIDE:
        raise PhotoError("too small")
    return photo


def _upright(photo):
    # A photo is turned before the rest of its EXIF is written again, which is what may fail.
    with suppress(struct.error, TypeError, ValueError, KeyError, SyntaxError, OverflowError):
        ImageOps.exif_transpose(photo, in_place=True)
    return photo


def _to_rgb(photo):
    if photo.mode.startswith("I;16"):
        photo = photo.convert("I")
    if photo.mode in ("I", "F"):
        # Pillow clips instead of scaling when it converts these, which gives a white photo.
        _, high = photo.getextrema()
        scale = 255 / (65535 if photo.mode == "I" and high > 255 else max(high, 1))
        photo = photo.point(lambda value: value * scale).convert("L")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo)
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _shrink(photo, short_side):
    scale = short_side / min(photo.size)
    if scale >= 1:
        return photo
    size = [max(short_side, round(side * scale)) for side in photo.size]
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
