"""The folder of an export and the numbered versions in it. No TensorFlow here.

TensorFlow Serving takes each sub-folder whose name is a number for a version, serves the highest
and ignores the others. A version is written and verified under another name in the same folder and
renamed when it is complete, so a server, or a reader, finds complete versions only.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from glr_keras.inference.model_dir import is_our_export, version_number
from tfrecords.common.console import UserError
from tfrecords.common.files import LOCK, locked, rename_durably, writable

UNFINISHED = re.compile(r"\.export-[0-9a-f]{16}")  # not a version yet, or no longer


def check_out(out: Path) -> None:
    """Checks that a version can be added to the folder `out`; writes nothing.

    Raises:
        UserError: something else is there.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return
        is_version = (out / "saved_model.pb").is_file()
        is_free = out.is_dir() and (is_our_export(out) or _is_unused(out))
    except OSError as error:
        raise UserError(f"Can't read {out} ({error.strerror}). Name another --out.") from error
    if is_version:
        raise UserError(
            f"{out} is one SavedModel, not a folder of versions. Expected as --out the folder that "
            "the versions of an export are in, or a new one."
        )
    if not is_free:
        raise UserError(f"{out} exists and is no export. Name another --out.")


@contextmanager
def unfinished_version(out: Path) -> Iterator[Path]:
    """Holds `out` for this process and creates an empty folder in it to write a version to.

    After the block nothing unfinished is left there, neither of this export nor of one that was
    killed; nor is `out` itself, where it was created for a version that was not published.

    Raises:
        UserError: `out` can't be written or holds something else, or another export holds it.
    """
    check_out(out)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    busy = f"Another export to {out} is running. Wait for it to end, or name another --out."
    with ExitStack() as cleanup:
        with writable(out, "--out"):
            out.mkdir(parents=True, exist_ok=True)
            cleanup.enter_context(locked(out / LOCK, busy))
            cleanup.callback(_delete_if_unused, created)
            check_out(out)  # again, now that no other export can change it
            _delete_unfinished(out)
            cleanup.callback(_delete_unfinished, out)
            folder = _unfinished_name(out)
            folder.mkdir()
        yield folder


def publish(folder: Path) -> Path:
    """Gives a complete version the next number, and returns its new path."""
    numbers = (version_number(path) for path in folder.parent.iterdir())
    latest = max((number for number in numbers if number is not None), default=0)
    version = folder.with_name(str(latest + 1))
    rename_durably(folder, version)
    return version


def delete_version(version: Path) -> None:
    """Deletes a version; its number goes first, so that no half of it is ever served."""
    unnamed = _unfinished_name(version.parent)
    os.replace(version, unnamed)
    shutil.rmtree(unnamed)


def _unfinished_name(out):
    return out / f".export-{secrets.token_hex(8)}"


def _is_unused(out):
    return all(path.name == LOCK or UNFINISHED.fullmatch(path.name) for path in out.iterdir())


def _delete_unfinished(out):
    for path in out.iterdir():
        if UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _delete_if_unused(created):
    """Deletes the folders that were created, innermost first, as far as nothing is in them."""
    with suppress(OSError):
        for number, folder in enumerate(created):
            if number == 0 and _is_unused(folder):
                (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
