"""Recognises complete runs and exports by their files. No TensorFlow here."""

from pathlib import Path

from glr_keras.config import read_json
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError, command_line

EXTRA = "assets.extra"  # a SavedModel's place for what its graph does not read
NO_TTA, FLIP_AND_CROPS = "none", "flip+crops"
TTA = (NO_TTA, "flip", FLIP_AND_CROPS)  # test-time augmentation, see `inference.tta`
TTA_HELP = (
    "average the answer over views: flip (the photo and its mirror image; twice the time) or "
    "flip+crops (these and five crops with theirs; twelve times)"
)
DESCRIPTION, LABELS = "glr_keras.json", "labels.txt"  # in there


def check_model(path: Path) -> None:
    """Checks that `path` can be loaded: that it is a complete run or an export.

    Raises:
        UserError: it is neither; the message says how to finish an incomplete run.
    """
    if (folder := find_saved_model(path)) is not None:
        if not is_our_export(path):
            raise UserError(
                f"{folder} holds a SavedModel that this project did not write (no {EXTRA}/"
                f"{DESCRIPTION}). Expected one of: python -m glr_keras.export RUN --out DIR"
            )
    elif (path / "config.json").exists():
        check_run(path)
    else:
        state = "is neither a run nor an export" if path.exists() else "does not exist"
        raise UserError(
            f"{path} {state}. Expected a folder that glr_keras.fit (--run-dir) or "
            "glr_keras.export (--out) has written."
        )


def check_run(path: Path) -> None:
    """Checks that `path` is a complete run.

    Raises:
        UserError: there is none; the message says how to finish an incomplete one.
    """
    if not path.is_dir():
        train = command_line("glr_keras.fit", "--run-dir", path)
        raise UserError(f"No folder {path}. Train with: {train}")
    config = path / "config.json"
    if not config.exists():
        raise UserError(
            f"{path} is no run: it has no config.json. Expected the --run-dir of glr_keras.fit."
        )
    run = RunDir(path)
    if not (run.is_complete and run.model.exists()):
        missing = run.model.name if run.is_complete else run.metrics.name
        finish = command_line("glr_keras.fit", "--config", config, "--run-dir", path)
        raise UserError(
            f"The run {path} is not complete: it has no {missing}. Finish it with: {finish}"
        )


def data_dir_of(run: Path, moved_to: Path | None = None) -> Path:
    """Returns where the records of a run are: where they were moved to, or else were."""
    return moved_to or Path(read_json(run / "config.json").data_dir)


def is_our_export(path: Path) -> bool:
    """Whether `path` is an export of this project, or one version of it."""
    folder = find_saved_model(path)
    return folder is not None and (folder / EXTRA / DESCRIPTION).is_file()


def find_saved_model(path: Path) -> Path | None:
    """Returns the folder of the SavedModel at `path` (of its highest version), or None."""
    if (path / "saved_model.pb").is_file():
        return path
    folders = [file.parent for file in path.glob("*/saved_model.pb")]
    versions = [folder for folder in folders if version_number(folder) is not None]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def version_number(folder: Path) -> int | None:
    """Returns the number that a folder has as its name; None where it is no version."""
    name = folder.name
    return int(name) if name.isascii() and name.isdecimal() else None
