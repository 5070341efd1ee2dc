"""Flags of commands, from the fields of `FitConfig`."""

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from glr_keras.config.fit_config import FitConfig


def add_flags(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Gives `parser` one flag per field; a flag that is not typed leaves no trace in the result."""
    for field in dataclasses.fields(FitConfig):
        if field.name in leave_out:
            continue
        default = field.default
        shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
        text = field.metadata["help"] + (f" (default: {shown})" if shown != "" else "")
        settings = {"help": text, "default": argparse.SUPPRESS}
        if isinstance(default, bool):
            settings["action"] = argparse.BooleanOptionalAction
        elif isinstance(default, tuple):
            settings |= {"type": int, "nargs": "*", "metavar": "N"}
        else:
            settings |= {"type": type(default), "choices": field.metadata["choices"]}
            if not settings["choices"]:
                settings["metavar"] = {int: "N", float: "X", str: "TEXT"}[type(default)]
        parser.add_argument("--" + field.name.replace("_", "-"), **settings)


def from_flags(flags: dict, base: FitConfig) -> FitConfig:
    """Returns `base` with the typed `flags` (as `add_flags` parsed them) in place of its values."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in flags.items()
    }
    return dataclasses.replace(base, **values)
