"""The one decoder of photos: bytes that anyone may have made become an upright sRGB image.

`build`, `predict` and the library read every file with `decode_photo`, so that a photo is the same
for all of them, and is refused for the same reason.
"""

import io
from collections.abc import Callable
from importlib.util import find_spec

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from tfrecords.common.types import MAX_MEMORY, MAX_PIXELS, MIN_SIDE
from tfrecords.images.colors import color_transform, reduced_rgb
from tfrecords.images.jpeg_tail import with_end
from tfrecords.images.orientation import orientation_of, turn_upright

MAX_SIDE = 65_500  # pixels; libjpeg writes no longer side
RGB_BYTES = 4  # per pixel, as Pillow keeps it

# What else a decoder allocates, in bytes per pixel beside the image itself (measured, Pillow 13).
DECODER_BYTES = {"WEBP": 13, "AVIF": 6, "JPEG2000": 16}
PROGRESSIVE_BYTES = 2  # per pixel and channel: libjpeg keeps all coefficients

# Formats by how their files begin. No other decoder of Pillow is ever reached: some start programs
# (EPS, Ghostscript), others are hardly used and hardly tested.
FORMATS: dict[str, tuple[Callable, Callable[[bytes], bool]]] = {
    "JPEG": (JpegImagePlugin.jpeg_factory, lambda head: head.startswith(b"\xff\xd8\xff")),
    "PNG": (PngImagePlugin.PngImageFile, lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    "WEBP": (WebPImagePlugin.WebPImageFile, lambda head: head[:4] + head[8:12] == b"RIFFWEBP"),
    "GIF": (GifImagePlugin.GifImageFile, lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    "TIFF": (
        TiffImagePlugin.TiffImageFile,
        lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ),
    "JPEG2000": (
        Jpeg2KImagePlugin.Jpeg2KImageFile,
        lambda head: head.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")),
    ),
    "AVIF": (AvifImagePlugin.AvifImageFile, lambda head: bool(_brands(head) & {b"avif", b"avis"})),
    "BMP": (BmpImagePlugin.BmpImageFile, lambda head: head.startswith(b"BM")),
    "PPM": (PpmImagePlugin.PpmImageFile, lambda head: head[:1] == b"P" and head[1:2] in b"123456"),
}
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
JPEGS = ("JPEG", "MPO")
TEXT_LIKE = ("BMP", "PPM")  # two letters prove nothing: a text may begin with them
HEAD_BYTES = 256  # that tell the format


class PhotoError(ValueError):
    """A photo that is left out.

    Attributes:
        reason: A key of `tfrecords.common.types.REASONS`.
        detail: What more is known, such as the type of the decoder's error; may be empty.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def decode_photo(data: bytes, short_side: int) -> Image.Image:
    """Decodes a file in any of the formats of `FORMATS`, or HEIC where pillow-heif is installed.

    The orientation is applied, be it in EXIF (JPEG, PNG, WebP, AVIF, TIFF) or in XMP. CMYK, grey,
    16-bit, floating-point and palette photos become RGB; a colour profile is converted to sRGB, and
    a broken one ignored. What is transparent becomes white, an animation gives its first frame. A
    short side above `short_side` is scaled down to it; a smaller photo keeps its size. A JPEG that
    lacks its last bytes is read where at most 2 % of the picture is missing.

    Memory is bounded: libjpeg scales while it decodes, other formats are converted and reduced in
    strips, and a photo whose pixels would need more than `MAX_MEMORY` is refused by its header.

    Args:
        data: Bytes of the file.
        short_side: Int, pixels.

    Returns:
        RGB image without metadata.

    Raises:
        PhotoError: the photo can't be used; its `reason` says why.
    """
    if not data:
        raise PhotoError("empty")
    # Whatever a file does to its decoder, the photo is left out and the work continues: this is the
    # one place that catches everything.
    try:
        photo = _open(data)
    except PhotoError:
        raise
    except Exception as error:
        reason = "not a photo" if _format(data) in TEXT_LIKE else "damaged"
        raise PhotoError(reason, type(error).__name__) from error
    try:
        _prepare_to_load(photo, short_side)
        photo = convert_photo(_load(photo, data, short_side), short_side)
    except PhotoError:
        raise
    except Exception as error:
        raise PhotoError("damaged", type(error).__name__) from error
    if max(photo.size) > MAX_SIDE:
        raise PhotoError("too large", f"{photo.width} x {photo.height} pixels after scaling")
    return photo


def convert_photo(photo: Image.Image, short_side: int) -> Image.Image:
    """Makes a loaded image what `decode_photo` returns of a file: upright, sRGB, scaled."""
    orientation = orientation_of(photo)
    if orientation > 1 and 2 * _image_bytes(photo) > MAX_MEMORY:  # stored and turned at once
        raise PhotoError("too large", _size_of(photo))
    photo = turn_upright(photo, orientation)
    mode, transform = color_transform(photo)
    size = _scaled_size(photo.size, short_side)
    # The first step of scaling by six and more, as `Image.resize` takes it with a reducing gap.
    across, down = (max(int(old / new / 3), 1) for old, new in zip(photo.size, size, strict=True))
    box = (0, 0, photo.width / across, photo.height / down)
    photo = reduced_rgb(photo, (across, down), mode).resize(size, Image.Resampling.LANCZOS, box)
    photo = transform(photo) if transform else photo
    photo.info.clear()  # Pillow would write a comment found here into a JPEG
    return photo


def starts_like_photo(data: bytes) -> bool:
    """Whether a file may be a photo by its first `HEAD_BYTES`, be it in HEIC."""
    return _format(data) is not None or bool(_brands(data[:HEAD_BYTES]) & HEIF_BRANDS)


def _format(data):
    head = data[:HEAD_BYTES]
    return next((name for name, (_, accepts) in FORMATS.items() if accepts(head)), None)


def _brands(head):
    """The brands of an ISO media file: the kinds of files that it may be read as."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4]), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end, 4))}


def _open(data):
    file, name = io.BytesIO(data), _format(data)
    if name is not None:
        # Not `Image.open`: its bound on pixels is a global of the user's process, and knows nothing
        # of JPEGs, which are scaled while they are decoded.
        return FORMATS[name][0](file, "")
    if not _brands(data[:HEAD_BYTES]) & HEIF_BRANDS:
        raise PhotoError("not a photo")
    if find_spec("pillow_heif") is None:
        raise PhotoError("HEIC")
    from pillow_heif import HeifImageFile

    return HeifImageFile(file)


def _prepare_to_load(photo, short_side):
    """Refuses a photo by its header, and has libjpeg drop what will be scaled away anyway.

    That takes half the time on a phone's photo. The factor 2 leaves the filter enough pixels.
    """
    pixels, name = photo.width * photo.height, photo.format
    if pixels > MAX_PIXELS:
        raise PhotoError("too large", _size_of(photo))
    if min(photo.size) < MIN_SIDE:
        raise PhotoError("too small", _size_of(photo))
    memory = pixels * DECODER_BYTES.get(name, 0)
    if "progressive" in photo.info and name in JPEGS:
        memory = pixels * len(photo.getbands()) * PROGRESSIVE_BYTES
    size = _size_of(photo)
    if name in JPEGS and photo.mode in ("RGB", "L"):
        photo.draft(photo.mode, (2 * short_side, 2 * short_side))
    is_converted = photo.mode != "RGB" or photo.has_transparency_data
    memory += _image_bytes(photo) + is_converted * RGB_BYTES * photo.width * photo.height
    if memory > MAX_MEMORY:
        raise PhotoError("too large", size)


def _load(photo, data, short_side):
    if photo.format == "PNG" and photo.tile:
        _scale_transparent_color(photo.info, photo.tile[0].args)
    try:
        photo.load()
    except OSError:
        if photo.format not in JPEGS:
            raise
        photo = _open(with_end(data))
        _prepare_to_load(photo, short_side)
        photo.load()
    return photo


def _scale_transparent_color(info, raw_mode):
    """Pillow scales samples of 2, 4 and 16 bits to 8, but not the colour that is transparent."""
    color = info.get("transparency")
    if raw_mode == "RGB;16B" and isinstance(color, tuple):
        info["transparency"] = tuple(value >> 8 for value in color)
    elif raw_mode in ("L;2", "L;4") and isinstance(color, int):
        info["transparency"] = color * (85 if raw_mode == "L;2" else 17)


def _image_bytes(photo):
    """What Pillow allocates for the pixels of an image."""
    width = 1 if photo.mode in ("1", "L", "P") else 2 if photo.mode.startswith("I;16") else 4
    return photo.width * photo.height * width


def _size_of(photo):
    return f"{photo.width} x {photo.height} pixels"


def _scaled_size(size, short_side):
    scale = short_side / min(size)
    if scale >= 1:
        return size
    return tuple(max(short_side, round(side * scale)) for side in size)
