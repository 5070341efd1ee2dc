"""Flags of a command from the fields of a dataclass: each choice once, with default and help."""

import argparse
import dataclasses
import math
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

REQUIRED = dataclasses.MISSING


def option(default: Any, help: str, group: str = "", **settings: Any) -> Any:
    """A field of a dataclass that is a flag, too.

    Args:
        default: Of field and flag; REQUIRED where there is none. `None`, `False` and `""` are not
            shown in the help.
        help: Of the flag.
        group: Key of `add_flags`' titles.
        **settings: Further arguments of `argparse`'s `add_argument`, such as `metavar`.
    """
    metadata = {"help": help, "group": group, "settings": settings}
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(name: str) -> str:
    """Returns the flag of a field: "--learning-rate" of "learning_rate"."""
    return "--" + name.replace("_", "-")


def choices_of(field: dataclasses.Field) -> Sequence[str]:
    """Returns the values that a field may have; none where there are many."""
    return field.metadata["settings"].get("choices", ())


def add_flags(
    parser: argparse.ArgumentParser,
    options: Any,
    titles: Mapping[str, str] = MappingProxyType({}),
    leave_out: Collection[str] = (),
    negatable: bool = False,
) -> None:
    """Adds a flag for each field that `option` made; what is not given is not in the namespace.

    Args:
        options: A dataclass.
        titles: Group -> its title in the help.
        leave_out: Fields without a flag.
        negatable: Whether there is a `--no-live` beside `--live`, for one that a file has set.
    """
    types = typing.get_type_hints(options)
    groups = {}
    for field in dataclasses.fields(options):
        if "settings" not in field.metadata or field.name in leave_out:
            continue
        name = field.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(titles[name]) if name else parser
        settings = {"default": argparse.SUPPRESS, "help": _help(field, negatable)}
        settings["required"] = field.default is REQUIRED
        settings |= _settings_of(types[field.name], negatable) | field.metadata["settings"]
        if settings.get("choices"):
            settings.pop("metavar", None)
        groups[name].add_argument(flag_of(field.name), **settings)


def number(kind: Callable[[str], float], accepts: Callable[[float], bool], expected: str):
    """Returns a `type` for `add_argument`: numbers of a range.

    Args:
        kind: int or float.
        accepts: Whether a number lies in the range.
        expected: What the message says was expected, as in "a number in [0, 1]".
    """

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
        return value

    return parse


positive_int = number(int, lambda value: value > 0, "a whole number above 0")
fraction = number(float, lambda value: 0 <= value <= 1, "a number in [0, 1]")
proper_fraction = number(float, lambda value: 0 < value < 1, "a number between 0 and 1")


def _help(field, negatable):
    text, default = field.metadata["help"], field.default
    shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
    is_hidden = default is REQUIRED or default is None or shown == "" or "default" in text
    is_hidden |= default is False and not negatable
    return (text + (f" (default: {shown})" if not is_hidden else "")).replace("%", "%%")


def _settings_of(annotation, negatable):
    """Returns how values of a type, or of that beside None, are read."""
    kinds = [kind for kind in typing.get_args(annotation) if kind not in (type(None), ...)]
    kind = kinds[0] if kinds else annotation
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction if negatable else "store_true"}
    metavar = {int: "N", float: "X", str: "TEXT"}.get(kind)
    settings = {"type": kind} | ({"metavar": metavar} if metavar else {})
    return settings | ({"nargs": "*"} if typing.get_origin(annotation) is tuple else {})
