"""Flags of a command from the fields of a dataclass: each choice once, with default and help."""

import argparse
import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
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


def add_flags(parser: argparse.ArgumentParser, options: type, titles: Mapping[str, str]) -> None:
    """Adds a flag for each field that `option` made; what is not given is not in the namespace.

    Args:
        options: A dataclass.
        titles: Group -> its title in the help.
    """
    types = typing.get_type_hints(options)
    groups = {}
    for field in dataclasses.fields(options):
        if "settings" not in field.metadata:
            continue
        name = field.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(titles[name]) if name else parser
        flag = "--" + field.name.replace("_", "-")
        settings = {"default": argparse.SUPPRESS, "help": _help(field)}
        settings["required"] = field.default is REQUIRED
        if field.default is False:
            settings["action"] = "store_true"
        else:
            settings["type"] = _parser_of(types[field.name])
        groups[name].add_argument(flag, **settings | field.metadata["settings"])


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


def _help(field):
    text, default = field.metadata["help"], field.default
    hidden = default is False or default in (None, "", REQUIRED) or "default" in text
    return (text + (f" (default: {default})" if not hidden else "")).replace("%", "%%")


def _parser_of(annotation):
    """Returns what makes a value of a text: the type itself, or that beside None."""
    kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    return kinds[0] if kinds else annotation
