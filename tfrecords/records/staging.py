"""The folder that a build works in, and whether its disk has enough free space."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.files import TEMPORARY, bytes_below, show_bytes, writable

PREPARED = "prepared.sqlite"
RECORDS = "records"
BEAM = "beam"
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
SYSTEM_PREFIXES = (".nfs", "._", ".fuse_hidden", TEMPORARY)  # of files that come by themselves
BYTES_PER_PIXEL = 0.2  # of a JPEG; 0.31 on average of 4,995 web photos


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Gives a folder beside `out` to work in; it stays where an interrupted build can be resumed.

    Raises:
        UserError: `out` exists, can't be made, or the folder has files of the user's.
    """
    staging = out.with_name(out.name + ".part")
    with writable(out, "--out"):
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        if out.exists():
            raise UserError(
                f"{out} exists. Expected a folder that is not there yet: name another --out, or "
                "delete this one if you want to build it again."
            )
        staging.mkdir(parents=True, exist_ok=True)
        _check_staging(staging)
    try:
        yield staging
    finally:
        with suppress(OSError):
            staging.rmdir()  # only where it is empty


def check_space(photos: int, short_side: int, staging: Path) -> None:
    """Refuses a build that can't fit: photos are kept prepared until their records are written.

    Args:
        photos: Int, how many are built.
        short_side: Int, pixels, to which larger photos are scaled.
        staging: Folder to work in.

    Raises:
        UserError: the disk has less free space than the photos take.
    """
    needed = 2 * photos * BYTES_PER_PIXEL * short_side * short_side * 4 / 3 - bytes_below(staging)
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise UserError(
            f"Building {photos:,} photos takes about {show_bytes(needed)} in {staging.parent}, "
            f"where {show_bytes(free)} are free. Free some space, name an --out on another disk, "
            "or lower --short-side."
        )


def _check_staging(staging):
    names = {path.name for path in staging.iterdir()}
    unexpected = names - {PREPARED, f"{PREPARED}-journal", RECORDS, BEAM, *SYSTEM_FILES}
    if unexpected := [name for name in unexpected if not name.startswith(SYSTEM_PREFIXES)]:
        raise UserError(
            f"{staging} is needed to work in and holds files of yours ({', '.join(unexpected)}). "
            "Name another --out."
        )
