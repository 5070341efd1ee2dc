"""Reads files that may be anything: a photo, a video of 20 GB, a pipe that never ends."""

import os
import stat
from pathlib import Path

from tfrecords.common.types import MAX_FILE_BYTES
from tfrecords.images.decode import PhotoError


def read_photo_file(path: str | os.PathLike) -> bytes:
    """Returns the bytes of a photo's file.

    Raises:
        PhotoError: it is missing, a folder, no regular file, too large, or the system does not let
            us read it; its `reason` says which.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PhotoError("missing") from error
    except ValueError as error:  # a null byte: no file can be called so
        raise PhotoError("missing") from error
    except OSError as error:
        raise PhotoError("unreadable", error.strerror or "") from error
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError("folder")
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device might never end
        raise PhotoError("unreadable", "no regular file")
    check_size(status.st_size)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PhotoError("unreadable", error.strerror or "") from error


def check_size(size: int) -> None:
    """Refuses a file that would fill memory.

    Args:
        size: Int, bytes.

    Raises:
        PhotoError: it is larger than any photo.
    """
    if size > MAX_FILE_BYTES:
        raise PhotoError("too many bytes", f"{size:,} bytes")
