"""What a user chooses to vary: names, a file of values and ranges; and what is wrong with them."""

import json
import random
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from glr_keras.config import FitConfig, effects
from tfrecords.common.console import UserError
from tuning.space import (
    COMMON,
    DEFAULT,
    DIMENSIONS,
    Dimension,
    dependency,
    encode,
    inclusive_range,
    possible_values,
    type_of,
    why_refused,
)

TRIES = 200  # combinations among which one must be possible


def choose_space(
    names: Sequence[str] | None, file: Path | None, base: FitConfig, typed: Iterable[str] = ()
) -> list[Dimension]:
    """Returns the dimensions of a search, in the order in which they are drawn.

    Args:
        names: What to search; None for the names in `file`, or the default ones. Of the default
            ones, those that make no difference are left out, and those that the user has set.
        file: TOML or JSON with other values or ranges, or None.
        base: FitConfig that holds what is not searched.
        typed: Fields that the user has set.

    Raises:
        UserError: an unknown name, one that can't be searched or makes no difference, an empty
            range, or a value that `FitConfig` refuses.
    """
    known = dict(DIMENSIONS)
    given = read_space(file) if file else {}
    chosen = list(names if names is not None else given or DEFAULT)
    _check_names([*chosen, *given])
    if others := [name for name in given if name not in chosen]:
        raise UserError(f"{file} names {', '.join(others)}, which --space leaves out.")
    known |= given
    if names is None and not given:
        chosen = [name for name in chosen if name not in typed]
        selected = {name: known[name] for name in chosen}
        chosen = [name for name in chosen if _makes_difference(name, selected, base)]
    elif twice := [name for name in chosen if name in typed]:
        raise UserError(f"{', '.join(twice)}: set and searched at once. Leave one of them out.")
    selected = {name: known[name] for name in chosen}
    for name in chosen:
        if not _makes_difference(name, selected, base):
            parent, _ = dependency(name, selected, base)
            why, remedy = effects.why_idle(parent, base), "set one of them"
            if parent in selected:
                why, remedy = f"with any {parent} of the search", f"give {parent} another value"
            elif parent in DIMENSIONS:
                remedy = f"add {parent} to --space, or set another"
            raise UserError(f"{name} changes nothing {why}: {remedy}.")
        if known[name].is_open:
            raise UserError(f"{name} has no range of its own. Give it one with --space-file FILE.")
    dimensions = [known[name] for name in DIMENSIONS if name in chosen]
    if not dimensions:
        raise UserError("Nothing is left to search: every hyperparameter is set.")
    _check_values(dimensions, base)
    return dimensions


def find_refused(dimensions: Sequence[Dimension], base: FitConfig) -> str:
    """Returns why `FitConfig` refuses some combination of the dimensions; empty if it takes all.

    Such combinations are not tried. A sample of them is looked at, since all can be very many.
    """
    return next(filter(None, (why_refused(one, base) for one in _sample(dimensions, base))), "")


def read_space(path: Path) -> dict[str, Dimension]:
    """Reads values and ranges from TOML or JSON.

    Each name has a list of values, or a table of `low`, `high` and perhaps `sampling` or `step`:
    `alpha = [0, 0.5, 1]`, `learning_rate = {low = 1e-4, high = 1e-2, sampling = "log"}`.

    Raises:
        UserError: no such file, no TOML or JSON, or something else in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors begin with a byte-order mark
        entries = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise UserError(f"No file {path}. Expected a search space in TOML or JSON.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as TOML or JSON: {error}.") from error
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{path}: expected names, each with values or a range.")
    _check_names(entries)
    return {name: _parse_dimension(path, name, entry) for name, entry in entries.items()}


def _check_names(names):
    for name in names:
        if name not in DIMENSIONS:
            why = "changes what is stored or where" if name in COMMON else "is no hyperparameter"
            raise UserError(f"{name} {why}. These can be searched: {', '.join(DIMENSIONS)}.")


def _makes_difference(name, selected, base):
    parent, matters = dependency(name, selected, base)
    return parent is None or any(map(matters, possible_values(parent, selected, base)))


def _parse_dimension(path, name, entry):
    if isinstance(entry, list) and entry:
        return Dimension(name, tuple(_typed(path, name, value) for value in entry))
    keys = set(entry) if isinstance(entry, dict) else set()
    if not {"low", "high"} <= keys <= {"low", "high", "sampling", "step"}:
        raise UserError(
            f"{path}: {name} must be a list of values, or low and high (and sampling or step), "
            f"got {entry!r}."
        )
    if type_of(name) not in (int, float):
        raise UserError(f"{path}: {name} is no number: give it a list of values.")
    low, high = (_typed(path, name, entry[end]) for end in ("low", "high"))
    sampling = entry.get("sampling", "linear")
    if low >= high:
        raise UserError(
            f"{path}: the range of {name} is empty: low {low} is not below high {high}."
        )
    if sampling not in ("linear", "log"):
        raise UserError(f"{path}: sampling of {name} must be linear or log, got {sampling!r}.")
    if sampling == "log" and low <= 0:
        raise UserError(f"{path}: log sampling of {name} needs a low above 0, got {low}.")
    if "step" not in entry:
        return Dimension(name, low=low, high=high, sampling=sampling)
    step = _typed(path, name, entry["step"])
    if sampling == "log" or not 0 < step <= high - low:
        raise UserError(
            f"{path}: step of {name} must lie between 0 and {high - low:g}, with linear sampling."
        )
    values = inclusive_range(low, high, step)
    return Dimension(name, tuple(type_of(name)(value) for value in values))


def _typed(path, name, value):
    kind = type_of(name)
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    is_list = isinstance(value, list) and all(type(item) is int for item in value)
    if not isinstance(kind, type) and is_list:
        return tuple(value)
    wanted = kind.__name__ if isinstance(kind, type) else "a list of whole numbers"
    raise UserError(f"{path}: {name} takes {wanted}, got {value!r}.")


def _check_values(dimensions, base):
    """Finds a value, or an end of a range, that no combination with the others makes possible."""
    for dimension in dimensions:
        for value in dimension.ends:
            samples = _sample(dimensions, base, {dimension.name: value})
            reasons = (why_refused(values, base) for values in samples)
            if (first := next(reasons)) and all(reasons):
                raise UserError(f"The range of {dimension.name} goes too far: {first}")


def _sample(dimensions, base, fixed=None) -> Iterator[dict]:
    """Yields combinations of values and ends, as `encode` writes them: first the last of each."""
    draw = random.Random(0)
    for number in range(TRIES):
        values = {
            one.name: one.ends[-1] if number == 0 else draw.choice(one.ends) for one in dimensions
        }
        values |= fixed or {}
        active = _active(values, {one.name: one for one in dimensions}, base)
        yield {name: encode(value) for name, value in active.items()}


def _active(values, selected, base):
    """Leaves out what changes nothing beside the other values: a tuner does not draw it."""
    kept = {}
    for name, value in values.items():
        parent, matters = dependency(name, selected, base)
        if parent is None or matters(values.get(parent, getattr(base, parent))):
            kept[name] = value
    return kept
