"""What a user calls photos -> pixels as records have them, or a reason why not. No TensorFlow."""

import codecs
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfrecords.common.console import UserError
from tfrecords.common.types import REASONS, one_line
from tfrecords.images.decode import PhotoError, convert_photo, decode_photo
from tfrecords.images.photo_file import read_photo_file
from tfrecords.sources.walk import HIDDEN, Report, files_below

STDIN = "-"
LIST = ".txt"
SIDECARS = (".json", ".xmp")  # beside photos, about them; in a folder, they are no photos


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
        if path.is_dir() and next(photos_below(path), None) is None:
            raise UserError(f"The folder {path} holds no photos.")
        if path.is_file() and path.suffix == LIST:
            _check_list(path)


def photo_paths(sources: Iterable[str], follow_links: bool = False) -> Iterator[str]:
    """Yields the paths that `sources` stand for, one by one: a list may be longer than memory.

    Args:
        sources: Photos, folders (all below them, by name), lists of paths (`.txt`, one per line,
            seen from the current folder), or "-" for such a list on standard input.
        follow_links: Whether links that lead out of a folder are followed.
    """
    for source in sources:
        path = Path(source)
        if source == STDIN:
            yield from _lines(sys.stdin.buffer)
        elif path.is_dir():
            yield from map(str, photos_below(path, follow_links, _warn))
        elif path.suffix == LIST:
            with open(path, "rb") as file:
                yield from _lines(file)
        else:
            yield source


def photos_below(
    folder: Path, follow_links: bool = False, report: Report = lambda path, reason: None
) -> Iterator[Path]:
    """Yields the files below a folder by name, as `walk.files_below`, but sidecars of photos."""
    for path in files_below(folder, follow_links, report):
        if path.suffix.lower() not in SIDECARS:
            yield path


def picture_path(folder: Path, number: int, photo: str) -> Path:
    """Names the picture that is drawn of a photo: `000001-NAME.png`, whatever the photo is called.

    Args:
        folder: Of the pictures.
        number: Int from 1, which photo.
        photo: Its path or id.
    """
    stem = one_line(Path(photo).stem).replace("/", "_").encode()
    # A name takes 255 bytes, whatever its script.
    return folder / f"{number:06d}-{stem[:200].decode(errors='ignore')}.png"


def read_photo(photo: Any, short_side: int) -> bytes:
    """Returns a file with the pixels that `tfrecords.build` would make a record of.

    Every file goes through the one decoder, since TensorFlow's own reads some of them otherwise: it
    knows no orientation outside of a JPEG's EXIF, no colour profile, and few kinds of transparency.

    Args:
        photo: Path; file opened in binary mode; bytes of a file; PIL image; or array `(height,
            width, 3)`, RGB, or `(height, width)`, grey, in [0, 255].
        short_side: Int, pixels; a short side above is scaled down to it.

    Returns:
        Bytes of an uncompressed RGB image (BMP), which TensorFlow decodes exactly.

    Raises:
        PhotoError: it can't be read; `reason` is a key of `tfrecords.common.types.REASONS`.
        ValueError: an array of another shape or range.
        TypeError: none of these.
    """
    if isinstance(photo, Image.Image):
        return _to_bmp(_converted(photo, short_side))
    if isinstance(photo, np.ndarray):
        return _to_bmp(convert_photo(Image.fromarray(_as_pixels(photo)), short_side))
    if isinstance(photo, str | os.PathLike):
        contents = read_photo_file(photo)
    elif isinstance(photo, bytes | bytearray | memoryview):
        contents = bytes(photo)
    elif hasattr(photo, "read"):
        contents = photo.read()
        if not isinstance(contents, bytes):
            raise TypeError("expected a file opened in binary mode, and it gives text")
    else:
        raise TypeError(f"expected a path, bytes, an image or an array, got {type(photo).__name__}")
    return _to_bmp(decode_photo(contents, short_side))


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
    """Yields the paths of a list; a byte-order mark, as Notepad writes it, is part of none."""
    for number, line in enumerate(file):
        if number == 0:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UserError("The list of paths is in UTF-16. Save it as UTF-8.")
            line = line.removeprefix(codecs.BOM_UTF8)
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield path


def _warn(path, reason):
    """Names what a walk does not enter; hidden files are nobody's photos."""
    if reason != HIDDEN:
        print(f"warning: {path}: {reason}: {REASONS[reason]}.", file=sys.stderr)


def _converted(photo, short_side):
    try:
        return convert_photo(photo.copy(), short_side)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reads the file only now
        raise PhotoError("damaged", type(error).__name__) from error


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


def is_one_photo(photos):
    """Whether `photos` is one photo, and not several of them or an array of paths."""
    if isinstance(photos, np.ndarray):
        return photos.ndim in (2, 3) and photos.dtype.kind not in "OSU"
    if hasattr(photos, "read"):  # a file, of which an iteration gives the lines
        return True
    kinds = str | bytes | bytearray | memoryview | Image.Image
    return isinstance(photos, kinds) or not isinstance(photos, Iterable)
