"""Flags of commands, from the fields of `FitConfig`."""

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from glr_keras.config.fit_config import FitConfig
from tfrecords.common import flags


def add_flags(parser: argparse.ArgumentParser, leave_out: Collection[str] = ()) -> None:
    """Gives `parser` one flag per field; a flag that is not typed leaves no trace in the result."""
    flags.add_flags(parser, FitConfig, leave_out=leave_out, negatable=True)


def from_flags(typed: dict, base: FitConfig) -> FitConfig:
    """Returns `base` with the `typed` flags (as `add_flags` parsed them) in place of its values."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in typed.items()
    }
    return dataclasses.replace(base, **values)
