"""Photos of other places, and which files of them a model has met before."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glr_keras.evaluation.answers import NO_LANDMARK
from glr_keras.evaluation.sources import LabelledPhoto
from glr_keras.inference.photo_inputs import photo_paths
from tfrecords.common.console import UserError
from tfrecords.common.tables import SOURCES, read_table
from tfrecords.images.decode import PhotoError
from tfrecords.images.photo_file import read_photo_file
from tfrecords.images.prepared import DIGEST_BYTES, digest_of


def other_photos(folder: Path, follow_links: bool = False) -> list[LabelledPhoto]:
    """Lists the photos below a folder, which show none of the landmarks."""
    paths = photo_paths([str(folder)], follow_links)
    return [LabelledPhoto(path, path, NO_LANDMARK) for path in paths]


def photo_digests(photos: Sequence[LabelledPhoto]) -> list[bytes | None]:
    """Returns the hash of each file; None of one that can't be read."""
    return [_digest(photo.source) for photo in photos]


def _digest(path):
    try:
        return digest_of(read_photo_file(path))
    except PhotoError:
        return None


def source_digests(data_dir: Path) -> set[bytes]:
    """Returns the hashes of the files that records were made of; none of an earlier version's."""
    path = data_dir / SOURCES
    if not path.exists():
        return set()
    return set(read_table(path, lambda row: bytes.fromhex(row["file"])))


def unmet_photos(
    photos: Sequence[LabelledPhoto], digests: Sequence[np.ndarray]
) -> list[LabelledPhoto]:
    """Leaves out, with a warning, photos to measure on that the rejection was trained with.

    Args:
        photos: Of `--other`.
        digests: `Rejector.other_digests` of each model.

    Raises:
        UserError: no other photo is left.
    """
    met = {row.tobytes() for rows in digests for row in rows}
    if not met:
        return list(photos)
    unmet = [
        photo
        for photo, digest in zip(photos, photo_digests(photos), strict=True)
        if digest not in met
    ]
    if left_out := len(photos) - len(unmet):
        text = (
            f"{left_out:,} of {len(photos):,} photos of --other are files that the rejection was "
            "trained with (--other-train)"
        )
        if not unmet:
            raise UserError(f"{text}. Name photos of other places that it has not met: --other DIR")
        print(f"warning: {text}; they are left out of what is measured.", file=sys.stderr)
    return unmet


def as_array(digests: Sequence[bytes]) -> np.ndarray:
    """Returns hashes as `Rejector.other_digests`, ascending, uint8 `(files, DIGEST_BYTES)`."""
    joined = b"".join(sorted(digests))
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)


def fingerprint(digests: np.ndarray) -> str:
    """Returns one hash of them all, whatever the files are called."""
    return hashlib.sha256(digests.tobytes()).hexdigest()
