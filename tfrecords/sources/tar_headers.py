"""Reads the headers of a tar file and makes sure that none is missing at its end."""

import os
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tfrecords.common.console import UserError

MAX_PADDING = 1 << 20  # bytes of zeros after the end; tar pads to 10 KB by default
COMPRESSED = {  # how such a file begins, and what undoes it
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"(\xb5/\xfd": "unzstd",
}
# What tarfile raises of headers that are damaged: its own errors, and those of numbers it computes.
HEADER_ERRORS = (tarfile.TarError, ValueError, OverflowError, IndexError, KeyError, EOFError)


def read_members(path: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yields every member of a tar file; reads nothing of their contents.

    Args:
        path: Name of the file, for messages.
        file: The file, open at its start.

    Raises:
        UserError: it is compressed, no tar, cut short anywhere or damaged.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(16)
    file.seek(0)
    _check_plain(path, start)
    end = 0
    try:
        tar = tarfile.open(fileobj=file, mode="r:", encoding="utf-8")  # noqa: SIM115
    except HEADER_ERRORS as error:
        raise UserError(
            f"{path} is no tar file, or was cut in its first header: {error}; it begins with "
            f"{start!r}. Download it again, or remove it from there."
        ) from error
    while (member := _next_member(path, tar)) is not None:
        # A size below zero would lead round in circles.
        if not end < tar.offset <= size:
            raise _damaged(path, end, f"an entry of {member.size:,} bytes")
        end = tar.offset
        yield member
        vars(tar)["members"].clear()  # tarfile would keep all of them, 1 KB each
    _check_end(path, file, end, size)


def _check_plain(path, start):
    for magic, tool in COMPRESSED.items():
        if start.startswith(magic):
            stem = path.name.split(".")[0]
            plain = path.with_name(f"{stem}.tar")
            if plain == path:
                plain = path.with_name(f"{stem}-plain.tar")
            raise UserError(
                f"{path} is compressed, so no photo can be read from the middle of it. Expected a "
                "plain tar. Unpack it with the command below, then remove it from there:\n"
                f"{tool} < {shlex.quote(str(path))} > {shlex.quote(str(plain))}"
            )


def _next_member(path, tar):
    try:
        return tar.next()
    except HEADER_ERRORS as error:
        raise _damaged(path, tar.offset, error) from error


def _check_end(path, file, end, size):
    """A tar ends with blocks of zeros. Without one, tarfile takes a cut for the end."""
    file.seek(end)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        raise _damaged(path, end, "no end-of-archive mark")
    if block.strip(b"\0"):
        whole = len(block) == tarfile.BLOCKSIZE
        raise _damaged(path, end, "a block that is no header" if whole else "half a header")
    if size - end > MAX_PADDING:
        # Some download tools fill a file with zeros first. Joined tars look like that, too.
        raise _damaged(path, end, f"an end-of-archive mark and {size - end:,} bytes after it")


def _damaged(path, end, found):
    return UserError(
        f"{path} is cut short or damaged: expected whole entries up to an end-of-archive mark, got "
        f"{found} at byte {end:,}. Download it again."
    )
