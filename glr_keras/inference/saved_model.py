"""Opens the folder of an export: a SavedModel and what describes it."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

from glr_keras.inference.model_dir import (
    DESCRIPTION,
    EXTRA,
    LABELS,
    NO_TTA,
    check_model,
    find_saved_model,
)
from tfrecords.common.console import UserError, command_line
from tfrecords.common.files import sha256_of

FORMAT = 4  # of the description
READABLE_FORMATS = (2, 3, FORMAT)  # 2 has no hashes, 3 no rejection
WILDCARDS = set("*?[" if os.sep == "\\" else "*?[\\")


@dataclass(frozen=True)
class Description:
    """What a reader needs of an export besides its graph.

    Attributes:
        image_size: Side of the square that the model sees, in pixels.
        short_side: To which photos are scaled down before, in pixels.
        precision: Of the weights on disk: "float32", "bfloat16" or "float16".
        backbone: Its name.
        head: Name of its class.
        framing: What it sees of a photo: see `data.views.eval_view`.
        format: Version of this description.
        temperature: Of its probabilities; 1 where they are the network's own.
        rejection: `Rejector.settings`; empty where the run had no rejector.
        tta: Among `model_dir.TTA`: views that its answers are averaged over.
        sha256: Dict from the paths of the graph and the weights in the folder to their hashes.
    """

    image_size: int
    short_side: int
    precision: str
    backbone: str
    head: str
    framing: str = "center"  # what the first exports saw, without saying so
    format: int = FORMAT
    sha256: dict[str, str] = field(default_factory=dict)
    rejection: dict = field(default_factory=dict)
    tta: str = NO_TTA
    temperature: float = 1.0  # of exports that don't say it


@dataclass(frozen=True)
class Export:
    """An export that was opened.

    Attributes:
        endpoints: The functions of `endpoints.build_endpoints`, by name.
        landmarks: Names in label order.
        description: Description.
        saved_model: What TensorFlow loaded; its variables live as long as this does.
    """

    endpoints: dict[str, Callable]
    landmarks: list[str]
    description: Description
    saved_model: tf.Module


def hash_files(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of the graph and the weights: of all that an answer depends on."""
    paths = sorted([folder / "saved_model.pb", *(folder / "variables").iterdir()])
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def open_export(path: Path) -> Export:
    """Loads an export.

    Args:
        path: Folder of `glr_keras.export`, of which the highest version is loaded, or the folder
            of one version.

    Raises:
        UserError: it is no export of this project, is damaged, or has other weights than it was
            exported with.
    """
    check_model(path)
    folder = find_saved_model(path) or path
    try:
        text = (folder / EXTRA / DESCRIPTION).read_text(encoding="utf-8")
        description = Description(**json.loads(text))
        landmarks = (folder / EXTRA / LABELS).read_text(encoding="utf-8").split("\n")[:-1]
        if description.format not in READABLE_FORMATS:
            raise ValueError(f"format {description.format}, expected {FORMAT}")
        _check_hashes(folder, description.sha256)
        with _without_wildcards(folder) as plain:
            saved_model = tf.saved_model.load(plain)
        endpoints = dict(saved_model.signatures)
    except (ValueError, TypeError, OSError, tf.errors.OpError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        out = path if path != folder else path.parent
        command = command_line("glr_keras.export", "RUN", "--out", out)
        raise UserError(
            f"{folder} can't be loaded: {reason}\nIt is damaged, or of another version of this "
            f"project. Export again with: {command}"
        ) from error
    return Export(endpoints, landmarks, description, saved_model)


def _check_hashes(folder, expected):
    """Without this, other weights of the same shapes would load and answer as if they were ours."""
    if expected:
        found = hash_files(folder)
        changed = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        if changed:
            raise ValueError(f"{changed[0]} is not the file that was exported (SHA-256 differs)")


@contextmanager
def _without_wildcards(folder: Path) -> Iterator[Path]:
    """Gives a path of `folder` without `*`, `?`, `[` or a backslash.

    TensorFlow 2.21 looks for the weights with a pattern that begins with the path, so it does not
    find them below "models [v2]".
    """
    if not WILDCARDS & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = Path(temporary, "export")
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link
