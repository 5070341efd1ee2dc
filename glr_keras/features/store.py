"""FeatureViews: features of the frozen backbone, and the folders that hold them.

Here is what is stored where; `glr_keras.features.extraction` computes it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from glr_keras.features.view_files import ViewFile
from tfrecords.common.files import delete_temporary, locked, warn_corrupted, write_atomically
from tfrecords.images.prepared import DIGEST_BYTES, digest_of

FEATURES_BATCH = 256  # photos read at once; only speed and memory depend on it


def row_batches(photos: int) -> list[np.ndarray]:
    """Returns the numbers of that many photos in order, `FEATURES_BATCH` in each array."""
    starts = range(0, photos, FEATURES_BATCH)
    return [np.arange(start, min(start + FEATURES_BATCH, photos)) for start in starts]


@dataclasses.dataclass(frozen=True)
class FeatureViews:
    """Features of one split, read from disk as they are needed.

    Attributes:
        split: "train", "validation" or "test".
        files: View number -> its `ViewFile`; one eval view has the number None.
        labels: int64 array `(photos,)`.
        photo_ids: Strings, in the same order.
    """

    split: str
    files: dict[int | None, ViewFile]
    labels: np.ndarray
    photo_ids: Sequence[str]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one photo's features."""
        _, height, width, channels = self.first_view.shape
        return height, width, channels

    def __len__(self):
        return len(self.labels)

    @property
    def first_view(self) -> ViewFile:
        """The file of the first view; validation and test photos have no other."""
        return next(iter(self.files.values()))

    def in_order(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Reads all photos in the first view, then in the next.

        Yields:
            Features, float16 `(batch, height, width, channels)`, and labels, int64 `(batch,)`.
        """
        for file in self.files.values():
            for rows in row_batches(len(self)):
                yield file.rows(rows), self.labels[rows]


@dataclasses.dataclass(frozen=True)
class FeatureFolder:
    """A folder of views of one split that were made in one way: `FEATURES/NAME`.

    Attributes:
        parent: FEATURES, from `FitConfig.features_path`.
        key: Dict of all that the features depend on; the folder's name holds a hash of it.
    """

    parent: Path
    key: dict

    @property
    def path(self) -> Path:
        return self.parent / f"{self.key['split']}-{self.key['backbone']}-{self._digest[:12]}"

    @cached_property
    def _digest(self):
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder while its views are computed; another process waits here meanwhile."""
        self.parent.mkdir(parents=True, exist_ok=True)
        message = f"Another process computes {self.path}; waiting for it."
        with locked(lock_of(self.path), message, wait=True):
            yield

    def start(self) -> None:
        """Makes the folder, which is locked; writes the manifest if missing or damaged.

        What killed processes left in it is deleted.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        delete_temporary(self.path)
        text = json.dumps(self.key, indent=2) + "\n"
        path = self.path / "manifest.json"
        found = path.read_bytes() if path.exists() else None
        if found not in (None, text.encode()):
            warn_corrupted(path, "it is written again")
        if found != text.encode():
            write_atomically(path, text)

    def view(self, view: int | None, shape: tuple[int, int, int, int]) -> ViewFile:
        """Names the file of view number `view`; None for the eval view."""
        name = "eval.npy" if view is None else f"view-{view}.npy"
        return ViewFile(self.path / name, shape, self._digest.encode())

    def load_index(self) -> tuple[np.ndarray, list[str]] | None:
        """Returns labels and photo ids in record order; None where they must be read."""
        path = self.path / "photos.json"
        if not path.exists():
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            index = {"labels": stored["labels"], "photo_ids": stored["photo_ids"]}
            if stored["sha256"] == _hash_index(index):
                return np.array(index["labels"], np.int64), index["photo_ids"]
        except (ValueError, KeyError, TypeError):
            pass  # warned of below
        warn_corrupted(path, "it is read from the records again")
        return None

    def save_index(self, labels: np.ndarray, photo_ids: list[str]) -> None:
        index = {"labels": labels.tolist(), "photo_ids": photo_ids}
        text = json.dumps({**index, "sha256": _hash_index(index)})
        write_atomically(self.path / "photos.json", text)

    def load_photo_hashes(self) -> list[bytes] | None:
        """Returns what `data.photo_hashes` gave, in record order; None where it must be read."""
        try:
            data = (self.path / "photos.blake2b").read_bytes()
        except OSError:
            return None
        if len(data) % DIGEST_BYTES or data[:DIGEST_BYTES] != digest_of(data[DIGEST_BYTES:]):
            return None
        return [data[at : at + DIGEST_BYTES] for at in range(DIGEST_BYTES, len(data), DIGEST_BYTES)]

    def save_photo_hashes(self, hashes: list[bytes]) -> None:
        data = b"".join(hashes)
        write_atomically(self.path / "photos.blake2b", digest_of(data) + data)


def lock_of(folder: Path) -> Path:
    """Names the lock of a folder of features: beside it, so that deleting it frees no lock."""
    return folder.with_name(f".{folder.name}.lock")


def _hash_index(index):
    return hashlib.sha256(json.dumps(index).encode()).hexdigest()
