"""Where a photo of an index lies: a safe file name, or none at all."""

import re
from pathlib import Path

MAX_NAME_BYTES = 200  # file systems take 255; the rest is for `.jpg` and the name while it comes
HEX_ID = re.compile("[0-9a-fA-F]{16}")  # an id of Google Landmarks
# Windows takes a name for a device whatever follows its first dot.
WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
NOT_IN_NAMES = frozenset('/\\:*?"<>|')


def is_safe_name(photo_id: str) -> bool:
    """Whether an id may become a file name; one that may not is never joined to a path.

    Safe on every system: 16 hex digits, or a plain name without a slash, a backslash, `..`,
    a leading dot, control characters or what Windows reserves, of at most 200 bytes.
    """
    if HEX_ID.fullmatch(photo_id):
        return True
    return (
        bool(photo_id)
        and photo_id.isprintable()  # first: a lone surrogate can't be encoded below
        and len(photo_id.encode()) <= MAX_NAME_BYTES
        and not photo_id.startswith((".", " "))
        and not photo_id.endswith((".", " "))
        and ".." not in photo_id
        and NOT_IN_NAMES.isdisjoint(photo_id)
        and not WINDOWS_DEVICE.fullmatch(photo_id)
    )


def photo_path(folder: Path, photo_id: str) -> Path:
    """Where the photo of a safe id lies: `folder/a/b/c/<id>.jpg` for 16 hex digits `abc...`, as in
    the archives of Google Landmarks, and `folder/<id>.jpg` otherwise."""
    return folder / relative_path(photo_id)


def relative_path(photo_id: str) -> str:
    """The same below its folder, with forward slashes; ten times as fast as a `Path`."""
    if HEX_ID.fullmatch(photo_id):
        return f"{photo_id[0]}/{photo_id[1]}/{photo_id[2]}/{photo_id}.jpg"
    return f"{photo_id}.jpg"
