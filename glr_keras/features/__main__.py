"""Shows or deletes stored features: python -m glr_keras.features --help"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glr_keras.features.store import lock_of
from glr_keras.features.view_files import BLOCK
from tfrecords.common.console import UserError, command_line, run_command
from tfrecords.common.files import bytes_below, locked, show_bytes


def main() -> None:
    args = _parse_args()
    folder = _find_features(args.data)
    if args.action == "list":
        list_features(folder, args.data)
    else:
        delete_features(folder, args.data, args.names, args.all)


def list_features(folder: Path, data: Path) -> None:
    """Prints a row for each set of stored views: name, size, how far it is, what made it.

    Args:
        folder: Of the sets.
        data: What the user calls it, for the command to type next.
    """
    print(f"{'size':>10}  {'views':>5}  {'photos':>9}  name and what made it")
    total = 0
    for path in _stored(folder):
        size = bytes_below(path)
        total += size
        views, photos = _count(path)
        print(f"{show_bytes(size):>10}  {views:>5}  {photos:>9}  {path.name}")
        print(f"{'':30}{_describe(path)}")
    print(f"{show_bytes(total):>10}  in {folder}")
    print(f"Delete some with: {command_line('glr_keras.features', 'delete', data)} NAME ...")


def delete_features(folder: Path, data: Path, names: Sequence[str], everything: bool) -> None:
    """Deletes sets of stored views by name, or all of them.

    Args:
        folder, data: As in `list_features`.
        names: Of the sets.
        everything: Whether all are meant.

    Raises:
        UserError: neither or both are asked for, a name is not there, or one is being computed.
    """
    stored = {path.name: path for path in _stored(folder)}
    if bool(names) == everything:
        see = command_line("glr_keras.features", "list", data)
        raise UserError(f"Expected names of stored features or --all. See them with: {see}")
    if unknown := [name for name in names if name not in stored]:
        raise UserError(
            f"{folder} holds no {', '.join(unknown)}; it holds: {', '.join(stored) or 'nothing'}."
        )
    for path in stored.values() if everything else [stored[name] for name in names]:
        message = f"{path} is being computed by another process. Stop it first."
        with locked(lock_of(path), message):
            size = bytes_below(path)
            shutil.rmtree(path)
        print(f"Deleted {path} ({show_bytes(size)}).")


def _parse_args():
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.features",
        description="Shows or deletes the features that runs keep beside the records. What is "
        "deleted is computed again when a run needs it.",
    )
    parser.add_argument("action", choices=("list", "delete"))
    parser.add_argument("data", type=Path, help="folder of records, or --features-dir of runs")
    parser.add_argument("names", nargs="*", help="with delete: which")
    parser.add_argument("--all", action="store_true", help="with delete: all of them")
    return parser.parse_args()


def _find_features(data):
    """Returns the folder of the sets: in a folder of records, or `data` itself."""
    if (data / "features").is_dir():
        return data / "features"
    if data.is_dir() and any(data.glob("*/*.crc32c")):
        return data
    command = command_line("glr_keras.fit", "--data-dir", data)
    raise UserError(
        f"No stored features in {data}. Expected a folder of records that a run has used, or the "
        f"--features-dir of one; make some with: {command}"
    )


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
        stored = np.frombuffer(view.read_bytes()[: view.stat().st_size // 4 * 4], "<u4")
        done += min(photos, BLOCK * int((stored != 0).sum()))
    total = photos * len(views)
    return len(views), str(photos) if done == total else f"{done:,}/{total:,}"


def _describe(path):
    try:
        key = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "(its manifest.json can't be read)"
    hidden = ("split", "backbone", "weights", "records", "format")
    return ", ".join(f"{name} {value}" for name, value in key.items() if name not in hidden)


if __name__ == "__main__":
    run_command(main)
