"""How features lie on disk: an .npy file per view, with a checksum for each block of photos."""

import errno
import io
import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import google_crc32c
import numpy as np
from tqdm import tqdm

from tfrecords.common.console import UserError
from tfrecords.common.files import READ_ONLY, write_atomically

BLOCK = 32  # photos that the backbone sees at once, and that one checksum covers
DTYPE = np.dtype("<f2")


class ViewFile:
    """Features of one view of all photos of a split: an .npy file and a checksum for each block.

    A block counts as done when its checksum is there and fits. So an extraction that was killed, a
    file that was cut and a bit that flipped are found alike, and only those blocks are computed
    again. They hold what one call of the backbone gives, so they come out bit for bit the same.

    Args:
        path: Of the .npy file.
        shape: (photos, height, width, channels).
        salt: Bytes that differ from other views', so that a file put in its place is found.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], salt: bytes = b""):
        self.path = path
        self.shape = tuple(shape)
        self._salt = google_crc32c.value(salt + path.name.encode())
        self._row_bytes = int(np.prod(shape[1:])) * DTYPE.itemsize

    @property
    def checksums(self) -> Path:
        return self.path.with_suffix(".crc32c")

    @property
    def nbytes(self) -> int:
        """Size of the whole view, in bytes."""
        return self.shape[0] * self._row_bytes

    @property
    def num_blocks(self) -> int:
        return math.ceil(self.shape[0] / BLOCK)

    @cached_property
    def _header(self):
        out = io.BytesIO()
        header = {"descr": DTYPE.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(out, header)
        return out.getvalue()

    def block_bytes(self, block: int) -> int:
        return (min(self.shape[0], (block + 1) * BLOCK) - block * BLOCK) * self._row_bytes

    def check(self, bar: tqdm) -> tuple[list[int], list[int]]:
        """Reads the whole file against its checksums, unless that was done since it was written.

        A file that fitted is not read again while neither size nor time of its last change differ:
        reading 150 GB at each start of a run takes longer than training.

        Args:
            bar: Progress bar of bytes.

        Returns:
            missing: Numbers of the blocks to compute.
            damaged: Those among them that had been computed before.
        """
        if self._is_verified():
            bar.update(self.nbytes)
            return [], []
        stored = self._stored_checksums()
        if not stored.any() and not self.path.exists():
            return list(range(self.num_blocks)), []
        if not self.checksums.exists():
            return list(range(self.num_blocks)), list(range(self.num_blocks))
        done = np.flatnonzero(stored).tolist()
        damaged = [block for block in done if not self._fits(block, stored, bar)]
        if self._has_wrong_header():
            damaged = done
        missing = np.flatnonzero(stored == 0).tolist()
        if not (missing or damaged):
            self._keep_verified()
        return sorted(missing + damaged), damaged

    def write_block(self, block: int, features: np.ndarray) -> None:
        """Puts the features of one block in their place; a kill at any moment leaves no half one.

        Args:
            block: Int.
            features: Array `(photos of the block, height, width, channels)`.
        """
        data = np.ascontiguousarray(features, DTYPE)
        expected = self.block_bytes(block)
        if data.nbytes != expected:
            raise ValueError(
                f"{self.path}: block {block} takes {expected} bytes, not {data.nbytes}"
            )
        with _open_to_write(self.checksums) as checksums, _open_to_write(self.path) as file:
            checksums.seek(4 * block)
            checksums.write(bytes(4))  # a block that is being written again is not done meanwhile
            checksums.flush()
            if block == 0 or self._has_wrong_header():
                file.write(self._header)
            file.seek(len(self._header) + block * BLOCK * self._row_bytes)
            file.write(data.data)
            file.flush()
            checksums.seek(4 * block)
            checksums.write(self._checksum(block, data.data).to_bytes(4, "little"))

    def rows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Reads the features of some photos.

        They are read, not mapped: pages of a map count as memory of the process, which would grow
        with the number of photos.

        Returns:
            float16 array `(len(numbers), height, width, channels)`.
        """
        out = np.empty((len(numbers), *self.shape[1:]), DTYPE)
        data = out.view(np.uint8).reshape(len(numbers), self._row_bytes)
        try:
            with open(self.path, "rb", buffering=0) as file:
                for row, number in zip(data, numbers, strict=True):
                    file.seek(len(self._header) + int(number) * self._row_bytes)
                    if file.readinto(row.data) != self._row_bytes:
                        raise OSError(f"photo {number} is not there")
        except OSError as error:
            raise UserError(
                f"{self.path} was changed or deleted while it was used ({error}). Type the same "
                "command again: what is missing is computed then."
            ) from error
        return out

    @property
    def _verified(self):
        return self.path.with_suffix(".verified")

    def _is_verified(self):
        try:
            return self._verified.read_text(encoding="utf-8") == self._state()
        except (OSError, UnicodeDecodeError):
            return False

    def _keep_verified(self):
        try:
            write_atomically(self._verified, self._state())
        except OSError as error:
            # Not there: whoever computes views deletes what looks like a killed process's.
            if error.errno not in (*READ_ONLY, errno.ENOENT):
                raise

    def _state(self):
        """What any change of the two files changes: sizes and times; and which view they are."""
        stats = [path.stat() for path in (self.path, self.checksums)]
        times = [f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats]
        return " ".join([*times, str(self._salt), *map(str, self.shape)]) + "\n"

    def _stored_checksums(self):
        stored = np.zeros(self.num_blocks, "<u4")
        if self.checksums.exists():
            found = np.frombuffer(self.checksums.read_bytes()[: stored.nbytes // 4 * 4], np.uint8)
            stored.view(np.uint8)[: len(found)] = found
        return stored

    def _fits(self, block, stored, bar):
        size = self.block_bytes(block)
        bar.update(size)
        if not self.path.exists():
            return False
        with open(self.path, "rb", buffering=0) as file:
            file.seek(len(self._header) + int(block) * BLOCK * self._row_bytes)
            return self._checksum(block, file.read(size)) == stored[block]

    def _has_wrong_header(self):
        if not self.path.exists():
            return False
        with open(self.path, "rb") as file:
            return file.read(len(self._header)) != self._header

    def _checksum(self, block, data):
        start = google_crc32c.extend(self._salt, int(block).to_bytes(4, "little"))
        return google_crc32c.extend(start, bytes(data)) or 1  # 0 stands for a block not done


def _open_to_write(path):
    """Opens a file in place, without cutting it; makes it if it is not there."""
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
