"""FeatureViews: what the frozen backbone says of every photo: python -m glr_keras.features --help

Here is what is stored where; `glr_keras.extraction` computes it.
"""

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import filelock
import numpy as np

from glr_keras.feature_files import BLOCK, ViewFile, tell_damage, write_atomically
from tfrecords.console import UserError, run_command


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
        return next(iter(self.files.values())).shape[1:]

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class FeatureFolder:
    """A folder of views of one split that were made in one way: `DATA/features/NAME`.

    Attributes:
        parent: `DATA/features`.
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
        lock = filelock.FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            print(f"Another process computes {self.path}; waiting for it.", file=sys.stderr)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def start(self) -> None:
        """Makes the folder; writes the manifest where it is missing or damaged."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.key, indent=2) + "\n"
        path = self.path / "manifest.json"
        found = path.read_bytes() if path.exists() else None
        if found not in (None, text.encode()):
            tell_damage(path, "it is written again")
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
            pass  # told below
        tell_damage(path, "it is read from the records again")
        return None

    def save_index(self, labels: np.ndarray, photo_ids: list[str]) -> None:
        index = {"labels": labels.tolist(), "photo_ids": photo_ids}
        text = json.dumps({**index, "sha256": _hash_index(index)})
        write_atomically(self.path / "photos.json", text)


def main() -> None:
    args = _parse_args()
    folder = args.data / "features"
    if not folder.is_dir():
        raise UserError(
            f"No stored features in {args.data}. Expected a folder of records that a run has used; "
            f"make some with: python -m glr_keras.fit --data-dir {args.data}"
        )
    if args.action == "list":
        list_features(folder)
    else:
        delete_features(folder, args.names, args.all)


def list_features(folder: Path) -> None:
    """Prints a row for each set of stored views: name, size, how far it is, what made it."""
    print(f"{'size':>10}  {'views':>5}  {'photos':>9}  name and what made it")
    total = 0
    for path in _stored(folder):
        size = sum(file.stat().st_size for file in path.iterdir())
        total += size
        views, photos = _count(path)
        print(f"{show_bytes(size):>10}  {views:>5}  {photos:>9}  {path.name}")
        print(f"{'':30}{_describe(path)}")
    print(f"{show_bytes(total):>10}  in {folder}")
    print(f"Delete some with: python -m glr_keras.features delete {folder.parent} NAME ...")


def delete_features(folder: Path, names: Sequence[str], everything: bool) -> None:
    """Removes sets of stored views by name, or all of them.

    Raises:
        UserError: neither or both are asked for, a name is not there, or one is being computed.
    """
    stored = {path.name: path for path in _stored(folder)}
    if bool(names) == everything:
        raise UserError(
            "Expected names of stored features or --all. See them with: "
            f"python -m glr_keras.features list {folder.parent}"
        )
    if unknown := [name for name in names if name not in stored]:
        raise UserError(
            f"{folder} holds no {', '.join(unknown)}; it holds: {', '.join(stored) or 'nothing'}."
        )
    for path in stored.values() if everything else [stored[name] for name in names]:
        try:
            with filelock.FileLock(path / ".lock", timeout=0):
                size = sum(file.stat().st_size for file in path.iterdir())
                shutil.rmtree(path)
        except filelock.Timeout as error:
            raise UserError(
                f"{path} is being computed by another process. Stop it first."
            ) from error
        print(f"Deleted {path} ({show_bytes(size)}).")


def show_bytes(count: float) -> str:
    """Writes a number of bytes for people: 1234567 is "1.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1000
    return f"{count:.1f} TB"


def _parse_args():
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.features",
        description="Shows or deletes the features that runs keep beside the records. What is "
        "deleted is computed again when a run needs it.",
    )
    parser.add_argument("action", choices=("list", "delete"))
    parser.add_argument("data", type=Path, help="folder of records")
    parser.add_argument("names", nargs="*", help="with delete: which")
    parser.add_argument("--all", action="store_true", help="with delete: all of them")
    return parser.parse_args()


def _stored(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _count(path):
    """Returns the number of views, and "done/all" photos of them where some are missing."""
    views = list(path.glob("*.crc32c"))
    index = path / "photos.json"
    try:
        photos = len(json.loads(index.read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, KeyError, TypeError):
        return len(views), "?"
    done = 0
    for view in views:
        noted = np.frombuffer(view.read_bytes()[: view.stat().st_size // 4 * 4], "<u4")
        done += min(photos, BLOCK * int((noted != 0).sum()))
    total = photos * len(views)
    return len(views), str(photos) if done == total else f"{done:,}/{total:,}"


def _describe(path):
    try:
        key = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "(its manifest.json can't be read)"
    hidden = ("split", "backbone", "weights", "records", "format")
    return ", ".join(f"{name} {value}" for name, value in key.items() if name not in hidden)


def _hash_index(index):
    return hashlib.sha256(json.dumps(index).encode()).hexdigest()


if __name__ == "__main__":
    run_command(main)
