"""config.json: every field of a `FitConfig`, written and read."""

import dataclasses
import json
import types
import typing
from pathlib import Path

from glr_keras.config.fit_config import FitConfig
from tfrecords.common.console import UserError

# What versions did that had no such setting yet; their config.json holds all others.
EARLIER_VALUES = {
    "feature_layers": "",
    "answer": "perception",
    "attention_map": "class-agnostic",
    "attention_start": "random",
    "attention_kernel": 3,
    "framing": "center",
    "plain_view": False,
    "branch_layer": "",
    "train_trunk": False,
    "finetune_after": "",
    "trunk_learning_rate": 0.1,
    "frozen_epochs": 0,
}


def to_json(config: FitConfig) -> str:
    """Writes every field, so that the file describes the run even after defaults change."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def read_json(path: Path) -> FitConfig:
    """Reads what `to_json` wrote; fields that are missing take their default.

    Raises:
        UserError: no such file, no JSON, an unknown field or a value of the wrong type.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"No file {path}. Expected a config.json of an earlier run.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object of settings, got {type(values).__name__}.")
    hints = typing.get_type_hints(FitConfig)
    if unknown := sorted(set(values) - set(hints)):
        raise UserError(
            f"{path}: unknown settings {', '.join(unknown)}. Known are: {', '.join(hints)}."
        )
    typed = {name: _typed(path, name, value, hints[name]) for name, value in values.items()}
    if hints.keys() - EARLIER_VALUES.keys() <= typed.keys():  # a whole config of an earlier version
        typed = EARLIER_VALUES | typed
    return FitConfig(**typed)


def _typed(path, name, value, hint):
    if isinstance(hint, types.GenericAlias):
        if isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
    elif type(value) is hint or (hint is float and type(value) is int):
        return hint(value)
    wanted = "a list of whole numbers" if isinstance(hint, types.GenericAlias) else hint.__name__
    raise UserError(f"{path}: {name} must be {wanted}, got {value!r}.")
