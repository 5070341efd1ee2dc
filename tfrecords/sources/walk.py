"""Walks a folder of photos, whatever else people and systems have put there. No TensorFlow here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tfrecords.sources.boxes import BOXES_FILE

# What operating systems, cameras and network disks leave behind, in small letters; and what begins
# with a dot.
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
SYSTEM_FOLDERS = {
    "__macosx",
    "@eadir",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
HIDDEN = "hidden"  # stands for a reason where something is passed over as no photo of anybody

Report = Callable[[Path, str], None]


def files_below(
    folder: Path, follow_links: bool = False, report: Report = lambda path, reason: None
) -> Iterator[Path]:
    """Yields the path of every file below a folder that may be a photo, by name.

    Nothing is read. Special files are yielded too: reading them says what is wrong.

    Args:
        folder: The folder; it may be a link itself.
        follow_links: Whether links that lead out of it are followed; each folder is visited once.
        report: Called with a path and a key of `tfrecords.common.types.REASONS` for what is not
            walked into, or with `HIDDEN` for what systems leave behind.
    """
    root, visited = os.path.realpath(folder), set()
    waiting = [Path(folder)]
    while waiting:
        current = waiting.pop()
        if follow_links:
            target = os.path.realpath(current)
            if target in visited:
                report(current, "link")
                continue
            visited.add(target)
        files, folders = _sort_entries(current, root, follow_links, report)
        yield from files
        waiting += reversed(folders)


def is_hidden(name: str, is_folder: bool) -> bool:
    """Whether a name is one of those that people do not choose for photos."""
    return name.startswith(".") or name.lower() in (SYSTEM_FOLDERS if is_folder else SYSTEM_FILES)


def is_own_output(folder: Path) -> bool:
    """Whether a folder holds records, a build under way, a run or an export, by what lies in it."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    is_records = "manifest.json" in names and any(".tfrecord" in name for name in names)
    is_run = "config.json" in names and bool(names & {"model.keras", "metrics.json", "checkpoint"})
    return is_records or is_run or bool(names & {"prepared.sqlite", "saved_model.pb"})


def _sort_entries(folder, root, follow_links, report):
    """Returns the files and the folders in a folder, by name, and reports all else."""
    files, folders = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        report(folder, "unreadable")
        return files, folders
    for entry in entries:
        path = folder / entry.name
        is_folder = _is_folder(entry)
        if entry.name == BOXES_FILE:
            continue
        if is_hidden(entry.name, is_folder):
            report(path, HIDDEN)
        elif entry.is_symlink() and not _may_follow(path, root, is_folder, follow_links):
            report(path, "link")
        elif not is_folder:
            files.append(path)
        elif is_own_output(path):
            report(path, "records or run")
        else:
            folders.append(path)
    return files, folders


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link in circles, or into a folder that may not be read
        return False


def _may_follow(path, root, is_folder, follow_links):
    """Whether a link leads to what is not reached otherwise, and may be reached."""
    target = os.path.realpath(path)
    if _is_below(target, root):
        # A folder is visited under its own name. A file may lie where nothing else is looked for,
        # and is found to be a copy where it does not.
        return not is_folder
    return follow_links and not _is_below(root, target)  # else there would be no end


def _is_below(path, folder):
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
