"""The folder of files for another runtime: there completely, or not at all. No TensorFlow here."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.files import LOCK, is_free, locked, rename_durably, sync, writable

DESCRIPTION = "model.json"  # by which such a folder is known
OLD = "old"  # in a staging folder: the export that is being replaced


def check_new_folder(out: Path, overwrite: bool) -> None:
    """Checks that a folder can be written as `out`.

    Raises:
        UserError: something is there that is no earlier export of this kind, or may stay.
    """
    if is_free(out):
        return
    if not _is_ours(out):
        raise UserError(f"{out} exists and is no export of files. Name another --out.")
    if not overwrite:
        raise UserError(f"{out} holds an export. Name another --out, or add --overwrite.")


@contextmanager
def new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Creates a folder to write to, and gives it the name `out` once all is well.

    It is in a staging folder beside `out`, which is deleted afterwards; where the process was
    killed, the next export to `out` does that, and puts an earlier export back that was moved
    aside.

    Raises:
        UserError: as `check_new_folder`, or it can't be written.
    """
    staging = out.with_name(f".{out.name}.export-{secrets.token_hex(8)}")
    with ExitStack() as cleanup:
        with writable(out, "--out"):
            _delete_left_over(out)
            check_new_folder(out, overwrite)
            staging.mkdir(parents=True)
            cleanup.callback(_delete, staging, out)
            cleanup.enter_context(locked(staging / LOCK, f"Another process deletes {staging}."))
            folder = staging / "new"
            folder.mkdir()
        yield folder
        check_new_folder(out, overwrite)
        sync(folder)  # first, since it takes time: a kill finds `out` in its place meanwhile
        if out.exists():
            os.replace(out, staging / OLD)
        rename_durably(folder, out)


def _delete_left_over(out):
    """Deletes the staging folders of processes that were killed; others hold their locks."""
    pattern = re.compile(re.escape(f".{out.name}.export-") + "[0-9a-f]{16}")
    names = os.listdir(out.parent) if out.parent.exists() else []
    for staging in (out.with_name(name) for name in names if pattern.fullmatch(name)):
        with suppress(UserError), locked(staging / LOCK, f"{staging} is in use."):
            _delete(staging, out)


def _delete(staging, out):
    """Deletes a staging folder, but not the only export there is."""
    if (staging / OLD).exists() and not out.exists():
        os.replace(staging / OLD, out)
    shutil.rmtree(staging, ignore_errors=True)


def _is_ours(out):
    try:
        description = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
        return description["software"] == "glr-keras"
    except (OSError, ValueError, TypeError, KeyError):
        return False
