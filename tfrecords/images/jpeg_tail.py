"""JPEGs that lack their last bytes: how much of the picture is missing.

Cameras, messengers and broken copies leave such files, and every viewer shows them. A decoder fills
what is missing with grey, which nothing shows afterwards; so it has to be measured.
"""

import io
import random
from collections.abc import Iterator

import numpy as np
from PIL import JpegImagePlugin

MAX_MISSING = 0.02  # of the picture; more than a rim would be grey
CELL = 8  # pixels of the half-size picture: 16 of the photo, as blocks with shared colours have
END = b"\xff\xd9"
# Random bits that hold no marker. What a decoder makes of them differs from what it fills in.
FILLER = random.Random(0).randbytes(4096).replace(b"\xff", b"\xfe")


def with_end(data: bytes) -> bytes:
    """Returns a truncated JPEG with an end, so that it decodes.

    It is decoded twice, once ending where it ends and once with random bytes behind: the first
    place where the two differ is where the picture ends. Blocks are stored row by row, so all that
    follows is missing too. Of several scans (progressive files) the last one must have begun.

    Raises:
        OSError: it is damaged otherwise, or more than 2 % of the picture is missing.
    """
    data = data.rstrip(b"\xff")  # half a marker
    if not _has_all_scans(data):
        raise OSError("scans are missing")
    plain, other = (_half_size(data + tail + END) for tail in (b"", FILLER))
    height, width = plain.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    different = np.zeros((rows * CELL, columns * CELL), bool)
    different[:height, :width] = (plain != other).reshape(height, width, -1).any(2)
    cells = different.reshape(rows, CELL, columns, CELL).any((1, 3)).ravel()
    missing = len(cells) - int(cells.argmax()) if cells.any() else 0
    if missing > max(MAX_MISSING * len(cells), 1):
        raise OSError(f"{missing / len(cells):.0%} of the picture is missing")
    return data + END


def _half_size(data):
    photo = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    # At half the size, libjpeg needs no smoothing of colours, which would mix rows of blocks.
    photo.draft(None, tuple(max(side // 2, 1) for side in photo.size))
    return np.asarray(photo)


def _has_all_scans(data):
    """Whether the last scans of all coefficients of all components have begun."""
    precision, components = {}, 0
    for marker, segment in _segments(data):
        if marker == 0xDA:
            count = segment[0]
            start, end, low = segment[1 + 2 * count], segment[2 + 2 * count], segment[-1] & 15
            for component in segment[1 : 1 + 2 * count : 2]:
                precision |= {(component, place): low for place in range(start, end + 1)}
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = segment[5]
    return len(precision) == 64 * components and not any(precision.values())


def _segments(data) -> Iterator[tuple[int, bytes]]:
    """Yields (marker, contents) of each segment; entropy-coded data are passed over."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:  # data, or a marker without contents
            place += 2
        elif marker == 0xFF:
            place += 1
        else:
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
            yield marker, data[place + 4 : end]
            place = end
