"""What a user calls photos -> files that TensorFlow decodes, or a reason why not. No TensorFlow."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfrecords.common.console import UserError
from tfrecords.images.convert import PhotoError, prepare_photo, upright_rgb
from tfrecords.sources.folder import files_below

# How the files start that TensorFlow decodes: JPEG, PNG, GIF, BMP; and WebP, from its 9th byte on.
DECODED_BY_TENSORFLOW = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")
STDIN = "-"
LIST = ".txt"


def check_sources(sources: Iterable[str]) -> None:
    """Looks for every photo, folder and list that was named, before any work is done.

    Raises:
        UserError: one is missing, a folder holds no file, a list names files that are not there.
    """
    for source in sources:
        path = Path(source)
        if source == STDIN:
            continue
        if not path.exists():
            raise UserError(
                f"No file or folder {path}. Expected photos, folders of photos, lists of paths "
                f"(*{LIST}), or {STDIN} for paths on standard input."
            )
        if path.is_dir() and next(files_below(path), None) is None:
            raise UserError(f"The folder {path} holds no photos.")
        if path.is_file() and path.suffix == LIST:
            _check_list(path)


def photo_paths(sources: Iterable[str]) -> Iterator[str]:
    """Yields the paths that `sources` stand for, one by one: a list may be longer than memory.

    Args:
        sources: Photos, folders (all below them, by name), lists of paths (`.txt`, one per line,
            seen from the current folder), or "-" for such a list on standard input.
    """
    for source in sources:
        path = Path(source)
        if source == STDIN:
            yield from _lines(sys.stdin.buffer)
        elif path.is_dir():
            yield from map(str, files_below(path))
        elif path.suffix == LIST:
            with open(path, "rb") as file:
                yield from _lines(file)
        else:
            yield source


def read_photo(photo: Any, short_side: int) -> bytes:
    """Returns the bytes of a file that TensorFlow decodes.

    Args:
        photo: Path; bytes of a file; PIL image; or array `(height, width, 3)`, RGB, or
            `(height, width)`, grey, in [0, 255].
        short_side: Int, pixels, of what Pillow has to convert.

    Raises:
        PhotoError: it can't be read; `reason` is a key of `tfrecords.common.types.REASONS`.
        ValueError: an array of another shape or range.
        TypeError: none of these.
    """
    if isinstance(photo, Image.Image):
        return _to_bmp(_upright_copy(photo))
    if isinstance(photo, np.ndarray):
        return _to_bmp(Image.fromarray(_as_pixels(photo)).convert("RGB"))
    if isinstance(photo, str | os.PathLike):
        contents = _read_file(photo)
    elif isinstance(photo, bytes | bytearray | memoryview):
        contents = bytes(photo)
    else:
        raise TypeError(f"expected a path, bytes, an image or an array, got {type(photo).__name__}")
    if contents.startswith(DECODED_BY_TENSORFLOW) or contents[8:12] == b"WEBP":
        return contents
    return prepare_photo(contents, short_side)


def _check_list(path):
    with open(path, "rb") as file:
        paths = 0
        missing = []  # the first ones; a list may be as long as it likes
        num_missing = 0
        for photo in _lines(file):
            paths += 1
            if not os.path.exists(photo):
                num_missing += 1
                missing = [*missing, photo][:3]
    if not paths:
        raise UserError(f"{path} lists no photos. Expected one path per line.")
    if missing:
        others = " and others" if num_missing > len(missing) else ""
        raise UserError(
            f"{path} lists {paths:,} photos, of which {num_missing:,} are not there: "
            f"{', '.join(missing)}{others}. Paths are seen from the current folder. To go on "
            f"without them, feed the list to standard input: {STDIN} < {path}"
        )


def _lines(file):
    for line in file:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield path


def _read_file(path):
    try:
        if not os.path.isfile(path):  # a pipe or a device might never end
            raise PhotoError("unreadable" if os.path.exists(path) else "missing")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise PhotoError("unreadable") from error


def _upright_copy(photo):
    try:
        return upright_rgb(photo.copy())
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reads the file only now
        raise PhotoError("damaged") from error


def _as_pixels(array):
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ValueError(
            f"expected a photo (height, width, 3) or (height, width), got shape {array.shape}"
        )
    if array.dtype.kind not in "uif":
        raise ValueError(f"expected numbers in [0, 255], got {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):
        raise ValueError(f"expected numbers in [0, 255], got {low:g} to {high:g}")
    if array.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError("expected numbers in [0, 255], got none above 1; multiply by 255")
    return np.rint(array).astype(np.uint8)


def _to_bmp(photo):
    out = io.BytesIO()
    photo.save(out, "BMP")  # exact, and costs next to nothing
    return out.getvalue()
