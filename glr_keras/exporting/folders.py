"""The folder of files for another runtime: there completely, or not at all. No TensorFlow here."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.files import rename_durably

DESCRIPTION = "model.json"  # by which such a folder is known


def check_new_folder(out: Path, overwrite: bool) -> None:
    """Checks that a folder can be written as `out`.

    Raises:
        UserError: something is there that is no earlier export of this kind, or may stay.
    """
    is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if is_free:
        return
    if not _is_ours(out):
        raise UserError(f"{out} exists and is no export of files. Name another --out.")
    if not overwrite:
        raise UserError(f"{out} holds an export. Name another --out, or add --overwrite.")


@contextmanager
def new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Creates a folder beside `out` to write to, and gives it that name once all is well.

    Raises:
        UserError: as `check_new_folder`, or it can't be written.
    """
    check_new_folder(out, overwrite)
    folder = out.with_name(f".{out.name}.export-{secrets.token_hex(8)}")
    old = folder.with_suffix(".old")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Can't write to {out.parent} ({error.strerror}).") from error
    try:
        yield folder
        check_new_folder(out, overwrite)
        if out.exists():
            os.replace(out, old)
        rename_durably(folder, out)
    finally:
        for left_over in (folder, old):
            shutil.rmtree(left_over, ignore_errors=True)


def _is_ours(out):
    try:
        description = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
        return description["software"] == "glr-keras"
    except (OSError, ValueError, TypeError, KeyError):
        return False
