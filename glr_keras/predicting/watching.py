"""Finds files that come into a folder, by scanning it again and again. No TensorFlow here."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from glr_keras.inference.photo_inputs import photos_below
from tfrecords.common.console import UserError

SECONDS = 1.0  # between two scans; a file that does not change for that long is complete
SCANS = 10  # scanning very many files takes at most 1/10 of the time
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp")  # renamed once complete


def new_files(
    folder: Path, follow_links: bool = False, wait: Callable[[float], None] = time.sleep
) -> Iterator[list[str]]:
    """Yields the files that come into a folder or below it from this call on, for ever, as lists.

    A file is yielded when neither its size nor its time of change differs from those a second ago,
    and again if it changes after that: what stalled while it was copied is not lost. Files that
    are there already are yielded only if they change.

    Args:
        folder: The folder.
        follow_links: Whether links that lead out of it are followed.
        wait: Called with seconds between two scans.

    Raises:
        UserError: the folder is not there, or is gone later.
    """
    return _later_files(folder, follow_links, wait, _stamps(folder, follow_links))


def _later_files(folder, follow_links, wait, done):
    before, seconds = done, SECONDS
    while True:
        wait(seconds)
        started = time.monotonic()
        now = _stamps(folder, follow_links)
        ready = [path for path, stamp in now.items() if done.get(path) != stamp == before.get(path)]
        done = {path: done[path] for path in done.keys() & now.keys()}  # deleted ones may come back
        done |= {path: now[path] for path in ready}
        before = now
        seconds = max(SECONDS, SCANS * (time.monotonic() - started))
        if ready:
            yield ready


def _stamps(folder, follow_links):
    """Path -> size and time of change of each file that has bytes."""
    if not folder.is_dir():
        raise UserError(f"--watch {folder}: expected a folder, and there is none.")
    stamps = {}
    for path in photos_below(folder, follow_links):
        if path.suffix.lower() in UNFINISHED:
            continue
        try:
            status = os.stat(path)
        except OSError:  # deleted or renamed meanwhile
            continue
        if status.st_size:
            stamps[str(path)] = (status.st_size, status.st_mtime_ns)
    return stamps
