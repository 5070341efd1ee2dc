"""Turns a photo upright by what its metadata say of the camera."""

from contextlib import suppress

from PIL import ExifTags, Image

METHODS = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(photo: Image.Image) -> int:
    """Returns the EXIF orientation of a loaded photo, 1 to 8; 1 (upright) where there is none.

    It may stand in EXIF anywhere before the pixels of a JPEG, in a PNG's `eXIf` chunk before or
    after them, in a WebP or AVIF, as a number of any type, or in XMP alone.
    """
    # Metadata can be wrong in as many ways as pixels; wrong ones must not cost the photo.
    with suppress(Exception):
        value = photo.getexif().get(ExifTags.Base.Orientation, 1)
        if isinstance(value, bytes | tuple):  # of type BYTE, or several
            value = value[0]
        value = int(value)
        if 1 <= value <= 8:
            return value
    return 1


def turn_upright(photo: Image.Image, orientation: int) -> Image.Image:
    """Applies an EXIF orientation to an image of any mode."""
    return photo.transpose(METHODS[orientation]) if orientation in METHODS else photo
