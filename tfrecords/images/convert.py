"""One photo: any file a user calls a photo becomes an upright RGB JPEG, or a reason why not."""

import io

from tfrecords.images.decode import PhotoError, decode_photo

__all__ = ["JPEG_QUALITY", "PhotoError", "prepare_photo"]

JPEG_QUALITY = 92


def prepare_photo(data: bytes, short_side: int) -> bytes:
    """Makes the JPEG that goes into a record.

    Args:
        data: Bytes of a file in any format that `tfrecords.images.decode` reads.
        short_side: Int, pixels; a short side above is scaled down to it.

    Returns:
        Bytes of an RGB JPEG without metadata.

    Raises:
        PhotoError: the photo can't be used; its `reason` says why.
    """
    out = io.BytesIO()
    decode_photo(data, short_side).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
