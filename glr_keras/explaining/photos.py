"""The photos that are explained: files that a user names, or those of a split."""

import argparse
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from glr_keras.data.records import Records, raw_records
from glr_keras.data.views import eval_window
from glr_keras.inference.loading import records_of
from glr_keras.inference.photo_inputs import photo_paths
from tfrecords.common.console import UserError
from tfrecords.images.convert import PhotoError, prepare_photo

SHOWN_SIDE = 384  # pixels, the short side of a photo in a picture


@dataclass(frozen=True)
class NamedPhoto:
    """A photo to explain.

    Attributes:
        name: Its path, or its id in the records.
        source: Path, or bytes of the file.
        landmark: What it shows; empty where unknown.
        box: `(ymin, xmin, ymax, xmax)` in [0, 1] of the photo; all 0 where unknown.
    """

    name: str
    source: str | bytes
    landmark: str = ""
    box: np.ndarray = field(default_factory=lambda: np.zeros(4))


def named_photos(sources: Sequence[str], follow_links: bool = False) -> Iterator[NamedPhoto]:
    """Yields the photos that `sources` stand for, as `photo_paths` finds them."""
    for path in photo_paths(sources, follow_links):
        yield NamedPhoto(path, path)


def chosen_photos(args: argparse.Namespace, count: int) -> Iterable[NamedPhoto]:
    """Returns the photos that are named, or else the first of a split of the first run's records.

    Args:
        args: `photos`, `follow_links`, `split`, `count`, `data_dir` and `models` of the command.
        count: Int, of a split if no number is asked for.

    Raises:
        UserError: as `records_of` and `split_photos`.
    """
    if args.photos:
        return named_photos(args.photos, args.follow_links)
    records = records_of(args.models[0], args.data_dir)
    return split_photos(records, args.split or "test", args.count or count)


def split_photos(records: Records, split: str, count: int | None) -> list[NamedPhoto]:
    """Returns the first photos of a split: a fair draw, since records are in shuffled order.

    Raises:
        UserError: the split has none.
    """
    if not records.num_photos(split):
        raise UserError(
            f"The split {split} of {records.data_dir} has no photos. Name another one: --split "
            "train, validation or test."
        )
    rows = raw_records(records, split).take(-1 if count is None else count)
    return [
        NamedPhoto(
            row["photo_id"].decode(), row["image"], records.landmarks[row["label"]], row["box"]
        )
        for row in rows.as_numpy_iterator()
    ]


def upright_pixels(photo: NamedPhoto) -> np.ndarray | None:
    """Reads a photo as its user sees it, upright, at the size of a picture.

    Returns:
        uint8 `(height, width, 3)`; None where it can't be read.
    """
    try:
        contents = photo.source
        if not isinstance(contents, bytes):
            contents = Path(contents).read_bytes()
        prepared = prepare_photo(contents, SHOWN_SIDE)
    except (PhotoError, OSError):
        return None
    with Image.open(io.BytesIO(prepared)) as image:
        return np.asarray(image)


def window_in_pixels(height: int, width: int, framing: str) -> tuple[int, int, int, int]:
    """Returns (top, left, height, width) of what a model sees of a photo of this size."""
    top, left, bottom, right = eval_window(height, width, framing)
    size = (round((bottom - top) * height), round((right - left) * width))
    return round(top * height), round(left * width), *size
