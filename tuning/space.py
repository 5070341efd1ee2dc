"""What a search varies: hyperparameters, each named after its field of FitConfig."""

import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError

DIGITS = 6  # of searched numbers: readable, and the same after they went through float32
RUNG = "tuner/epochs"  # what Hyperband calls the epochs of a trial
NO_UNITS = "none"  # how a head without hidden layers is written


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter: some values, or a range of numbers.

    Attributes:
        name: A field of `FitConfig`.
        values: Values to choose from, as `FitConfig` takes them; empty for a range.
        low, high: Ends of the range, both possible.
        sampling: "linear" or "log", how the range is sampled.
    """

    name: str
    values: tuple = ()
    low: float = 0.0
    high: float = 0.0
    sampling: str = "linear"

    @property
    def ends(self) -> tuple:
        """Values that stand for all when they are checked."""
        return self.values or (self.low, self.high)


def ladder(low: float, high: float, step: float) -> tuple[float, ...]:
    """Returns low, low + step, ..., high, both ends exactly.

    KerasTuner's own steps miss the upper end where rounding goes the wrong way: 0 to 1 by 0.05.
    """
    return tuple(round(low + i * step, DIGITS) for i in range(round((high - low) / step) + 1))


# Parents stand before what depends on them, as KerasTuner asks; the seed is first, so that a grid
# runs whole for one seed before the next.
DIMENSIONS = {
    dimension.name: dimension
    for dimension in (
        Dimension("seed", (0, 1, 2)),
        Dimension("head", ("abn", "dropout")),
        Dimension("optimizer", ("sgd", "adam")),
        Dimension("schedule", ("constant", "cosine")),
        Dimension("head_units", ((), (256,), (512,), (512, 512), (1024, 1024))),
        Dimension("pooling", ("flatten", "average")),
        Dimension("normalize", (False, True)),
        Dimension("alpha", ladder(0.0, 1.0, 0.05)),
        Dimension("beta", low=0.25, high=4.0, sampling="log"),
        Dimension("attention_channels", (64, 128, 256, 512)),
        Dimension("dropout", ladder(0.0, 0.7, 0.1)),
        Dimension("learning_rate", low=1e-4, high=1e-2, sampling="log"),
        Dimension("momentum", (0.0, 0.5, 0.8, 0.9, 0.95)),
        Dimension("warmup_epochs", (0.0, 0.5, 1.0)),
        Dimension("step_epochs", (1, 2)),
        Dimension("step_factor", (0.1, 0.3, 0.5)),
        Dimension("weight_decay", low=1e-6, high=1e-2, sampling="log"),
        Dimension("clip_norm", (0.0, 0.5, 1.0, 5.0)),
        Dimension("ema", (0.0, 0.9, 0.99)),
        Dimension("label_smoothing", (0.0, 0.05, 0.1, 0.2)),
        Dimension("balance", (0.0, 0.5, 1.0)),
        Dimension("batch_size", (16, 32, 64, 128)),
        Dimension("epochs", (2, 3, 5, 10)),
    )
}
DEFAULT = ("optimizer", "head_units", "alpha", "beta", "dropout", "learning_rate", "momentum")
# Hyperparameter -> the field it depends on, and the values of that at which it changes anything.
NEEDS = {
    "alpha": ("head", lambda head: head == "abn"),
    "attention_channels": ("head", lambda head: head == "abn"),
    "dropout": ("head_units", bool),
    "momentum": ("optimizer", lambda optimizer: optimizer == "sgd"),
    "step_epochs": ("schedule", lambda schedule: schedule == "step"),
    "step_factor": ("schedule", lambda schedule: schedule == "step"),
}
# The question of the report: does the attention branch's loss help?
ALPHA_GRID, BETA_GRID = (0.0, 0.1, 0.25, 0.5, 1.0), (0.5, 1.0, 2.0)


def alpha_beta_grid(seeds: Sequence[int]) -> list[Dimension]:
    """Returns the space of the report's question: every alpha with every beta and every seed."""
    return [
        Dimension("seed", tuple(seeds)),
        Dimension("alpha", ALPHA_GRID),
        Dimension("beta", BETA_GRID),
    ]


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
        chosen = [name for name in chosen if _makes_difference(known, name, chosen, base)]
    elif twice := [name for name in chosen if name in typed]:
        raise UserError(f"{', '.join(twice)}: set and searched at once. Leave one of them out.")
    for name in chosen:
        if not _makes_difference(known, name, chosen, base):
            parent = NEEDS[name][0]
            raise UserError(
                f"{name} changes nothing while {parent} is {getattr(base, parent)!r}. Add {parent} "
                "to --space, or set another."
            )
    dimensions = [known[name] for name in DIMENSIONS if name in chosen]
    if not dimensions:
        raise UserError("Nothing is left to search: every hyperparameter is set.")
    _check_values(dimensions, base)
    return dimensions


def read_space(path: Path) -> dict[str, Dimension]:
    """Reads values and ranges from TOML or JSON.

    Each name has a list of values, or a table of `low`, `high` and perhaps `sampling` or `step`:
    `alpha = [0, 0.5, 1]`, `learning_rate = {low = 1e-4, high = 1e-2, sampling = "log"}`.

    Raises:
        UserError: no such file, no TOML or JSON, or something else in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise UserError(f"No file {path}. Expected a search space in TOML or JSON.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as TOML or JSON: {error}.") from error
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{path}: expected names, each with values or a range.")
    _check_names(entries)
    return {name: _parse_dimension(path, name, entry) for name, entry in entries.items()}


def config_of(values: Mapping, base: FitConfig) -> FitConfig:
    """Returns `base` with the values that a tuner chose; those that are not active stay as in it.

    Args:
        values: Name -> value, as `encode` writes them. Of a tuner's own, which have a slash, the
            epochs of Hyperband's rungs count.
        base: FitConfig.
    """
    decoded = {name: _decode(name, value) for name, value in values.items() if "/" not in name}
    if RUNG in values:
        decoded["epochs"] = int(values[RUNG])
    return dataclasses.replace(base, **decoded)


def encode(value):
    """Writes a value of `FitConfig` as KerasTuner takes it: units of layers as text."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or NO_UNITS
    return int(value) if isinstance(value, bool) else value


def declare(hyperparameters, dimensions: Sequence[Dimension], base: FitConfig) -> None:
    """Adds the dimensions to KerasTuner's `HyperParameters`; some are active under a condition.

    The default, which a grid begins with, is the value of `base` where that is possible.
    """
    by_name = {dimension.name: dimension for dimension in dimensions}
    for dimension in dimensions:
        parent, matters = NEEDS.get(dimension.name, (None, None))
        if parent in by_name:
            active = [encode(value) for value in by_name[parent].values if matters(value)]
            with hyperparameters.conditional_scope(parent, active):
                _declare_one(hyperparameters, dimension, base)
        else:
            _declare_one(hyperparameters, dimension, base)


def _declare_one(hyperparameters, dimension, base):
    default = getattr(base, dimension.name)
    if dimension.values:
        default = default if default in dimension.values else dimension.values[0]
        values = [encode(value) for value in dimension.values]
        hyperparameters.Choice(dimension.name, values, default=encode(default))
        return
    make = hyperparameters.Int if _type_of(dimension.name) is int else hyperparameters.Float
    inside = dimension.low <= default <= dimension.high
    make(
        dimension.name,
        dimension.low,
        dimension.high,
        sampling=dimension.sampling,
        default=default if inside else dimension.low,
    )


def _decode(name, value):
    kind = _type_of(name)
    if kind is float:
        return float(f"{value:.{DIGITS}g}")
    if isinstance(kind, type):
        return kind(value)
    return () if value == NO_UNITS else tuple(map(int, value.split()))


def _type_of(name):
    return typing.get_type_hints(FitConfig)[name]


def _check_names(names):
    fields = {field.name for field in dataclasses.fields(FitConfig)}
    for name in names:
        if name not in DIMENSIONS:
            why = "changes what is stored or where" if name in fields else "is no hyperparameter"
            raise UserError(f"{name} {why}. These can be searched: {', '.join(DIMENSIONS)}.")


def _makes_difference(known, name, chosen, base):
    parent, matters = NEEDS.get(name, (None, None))
    if parent is None:
        return True
    candidates = known[parent].values if parent in chosen else (getattr(base, parent),)
    return any(map(matters, candidates))


def _parse_dimension(path, name, entry):
    if isinstance(entry, list) and entry:
        return Dimension(name, tuple(_typed(path, name, value) for value in entry))
    keys = set(entry) if isinstance(entry, dict) else set()
    if not {"low", "high"} <= keys <= {"low", "high", "sampling", "step"}:
        raise UserError(
            f"{path}: {name} must be a list of values, or low and high (and sampling or step), "
            f"got {entry!r}."
        )
    if _type_of(name) not in (int, float):
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
    return Dimension(name, tuple(_type_of(name)(value) for value in ladder(low, high, step)))


def _typed(path, name, value):
    kind = _type_of(name)
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
    """Tries each end of each dimension in `FitConfig`, with the others at their last value."""
    tops = {dimension.name: encode(dimension.ends[-1]) for dimension in dimensions}
    for dimension in dimensions:
        for value in dimension.ends:
            try:
                config_of({**tops, dimension.name: encode(value)}, base)
            except UserError as error:
                raise UserError(f"The range of {dimension.name} goes too far: {error}") from error
