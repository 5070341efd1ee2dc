"""Lists of photos to fetch, and what a download has left in a folder."""

import csv
from dataclasses import replace

from photo_server import BODY

from tfrecords.common.types import Photo
from tfrecords.download.options import FetchOptions

OPTIONS = FetchOptions(
    allow_private=True,
    timeout=20.0,  # nothing is to time out here
    deadline=60.0,
    retries=1,
    backoff=0.01,
    max_wait=0.05,
    max_bytes=5 * BODY,
    per_host=16,
)
INCOMPLETE = replace(OPTIONS, allow_missing="100%")


def listed(*locations):
    """An index of these URLs; the ids are in their order."""
    return [Photo(f"{i:016x}", "7", location) for i, location in enumerate(locations)]


def kept(folder):
    """Bytes of each file in the folder by its name, other than the journal and its lock."""
    own = {"downloads.csv", ".downloads.lock"}
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in own)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def journal_rows(folder):
    with open(folder / "downloads.csv", newline="") as file:
        return list(csv.DictReader(file))
