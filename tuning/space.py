"""What a search can vary: hyperparameters, each named after its field of FitConfig."""

import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glr_keras.config import LOCATIONS, FitConfig, effects
from tfrecords.common.console import UserError
from tfrecords.common.flags import choices_of

DIGITS = 6  # of searched numbers: readable, and the same after they went through float32
UNTRAINED = "logistic"  # a head that trials can't train: L-BFGS fits it
RUNG = "tuner/epochs"  # what Hyperband calls the epochs of a trial
NO_UNITS = "none"  # how a head without hidden layers is written
# Fields that decide where things lie, which features are stored, or how a run proceeds: all trials
# of a search have them in common. Every other field can be searched.
COMMON = {
    *LOCATIONS,
    *("live", "finetune_from", "trainable_blocks", "distribute"),
    *("backbone", "weights", "cut_layer", "feature_layers"),
    *("branch_layer", "train_trunk", "finetune_after"),
    *("image_size", "precision"),
    *("views", "feature_seed"),
    *("framing", "plain_view", "rotation", "min_crop_area", "brightness", "flip"),
}


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
        """All values, or both ends of a range."""
        return self.values or (self.low, self.high)

    @property
    def is_open(self) -> bool:
        """Whether values or a range must still be given, by a file."""
        return not self.values and self.low == self.high


def inclusive_range(low: float, high: float, step: float) -> tuple[float, ...]:
    """Returns low, low + step, ..., high, both ends exactly.

    KerasTuner's own steps miss the upper end where rounding goes the wrong way: 0 to 1 by 0.05.
    """
    return tuple(round(low + i * step, DIGITS) for i in range(round((high - low) / step) + 1))


# Parents stand before what depends on them, as KerasTuner asks; the seed is first, so that a grid
# runs whole for one seed before the next.
_CURATED = (
    Dimension("seed", (0, 1, 2)),
    Dimension("head"),
    Dimension("optimizer", ("sgd", "adam")),
    Dimension("schedule", ("constant", "cosine")),
    Dimension("head_units", ((), (256,), (512,), (512, 512), (1024, 1024))),
    Dimension("pooling"),
    Dimension("normalize"),
    Dimension("alpha", inclusive_range(0.0, 1.0, 0.05)),
    Dimension("beta", low=0.25, high=4.0, sampling="log"),
    Dimension("attention_channels", (64, 128, 256, 512)),
    Dimension("dropout", inclusive_range(0.0, 0.7, 0.1)),
    Dimension("learning_rate", low=1e-4, high=1e-2, sampling="log"),
    Dimension("momentum", (0.0, 0.5, 0.8, 0.9, 0.95)),
    Dimension("warmup_epochs", (0.0, 0.5, 1.0)),
    Dimension("step_epochs", (1, 2)),
    Dimension("step_factor", (0.1, 0.3, 0.5)),
    Dimension("weight_decay", low=1e-6, high=1e-2, sampling="log"),
    Dimension("clip_norm", (0.0, 0.5, 1.0, 5.0)),
    Dimension("ema", (0.0, 0.9, 0.99)),
    Dimension("label_smoothing", (0.0, 0.05, 0.1, 0.2)),
    Dimension("mixup", (0.0, 0.1, 0.3, 1.0)),
    Dimension("balance", (0.0, 0.5, 1.0)),
    Dimension("batch_size", (16, 32, 64, 128)),
    Dimension("epochs", (2, 3, 5, 10)),
)


def _find_dimensions() -> dict[str, Dimension]:
    """Returns a dimension for each field of `FitConfig` that trials may differ in.

    One that is not curated takes the choices of its flag, or both values of a switch; a number
    remains open.
    """
    fields = {field.name: field for field in dataclasses.fields(FitConfig)}
    curated = {one.name: one for one in _CURATED}
    found = {}
    for name in [*curated, *(name for name in fields if name not in {*curated, *COMMON})]:
        dimension = curated.get(name, Dimension(name))
        if dimension.is_open:
            is_switch = isinstance(fields[name].default, bool)
            values = (False, True) if is_switch else choices_of(fields[name])
            dimension = Dimension(name, tuple(value for value in values if value != UNTRAINED))
        found[name] = dimension
    return found


DIMENSIONS = _find_dimensions()
DEFAULT = ("optimizer", "head_units", "alpha", "beta", "dropout", "learning_rate", "momentum")
# The question of the report: does the attention branch's loss help?
ALPHA_GRID, BETA_GRID = (0.0, 0.1, 0.25, 0.5, 1.0), (0.5, 1.0, 2.0)


def alpha_beta_grid(seeds: Sequence[int]) -> list[Dimension]:
    """Returns the space of the report's question: every alpha with every beta and every seed."""
    return [
        Dimension("seed", tuple(seeds)),
        Dimension("alpha", ALPHA_GRID),
        Dimension("beta", BETA_GRID),
    ]


def config_of(values: Mapping, base: FitConfig) -> FitConfig:
    """Returns `base` with the values that a tuner chose; those that are not active stay as in it.

    Args:
        values: Name -> value, as `encode` writes them. Of a tuner's own, which have a slash, the
            epochs of Hyperband's rungs count.
        base: FitConfig.

    Raises:
        UserError: `FitConfig` refuses the combination.
    """
    decoded = {name: decode(name, value) for name, value in values.items() if "/" not in name}
    if RUNG in values:
        decoded["epochs"] = int(values[RUNG])
    return dataclasses.replace(base, **decoded)


def why_refused(values: Mapping, base: FitConfig) -> str:
    """Returns what `FitConfig` has against a combination; empty where it takes it."""
    try:
        config_of(values, base)
    except UserError as error:
        return str(error)
    return ""


def encode(value):
    """Writes a value of `FitConfig` as KerasTuner takes it: units of layers as text."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or NO_UNITS
    return int(value) if isinstance(value, bool) else value


def decode(name: str, value):
    """Returns the value of the field `name` that `encode` wrote."""
    kind = type_of(name)
    if kind is float:
        return float(f"{value:.{DIGITS}g}")
    if isinstance(kind, type):
        return kind(value)
    return () if value == NO_UNITS else tuple(map(int, value.split()))


@functools.cache  # a search asks for each value of each trial; finding the types takes .1 ms
def type_of(name: str):
    """Returns the type of a field of `FitConfig`."""
    return typing.get_type_hints(FitConfig)[name]


def possible_values(name: str, chosen: Mapping[str, Dimension], base: FitConfig) -> tuple:
    """Returns the values that a field has in the trials of a search.

    Args:
        name: A field of `FitConfig`.
        chosen: Name -> dimension of all that is searched.
        base: FitConfig that holds the rest.
    """
    return chosen[name].ends if name in chosen else (getattr(base, name),)


def dependency(name: str, chosen: Mapping[str, Dimension], base: FitConfig):
    """Returns what `effects.dependency` does, for the trials of a search.

    Args:
        name, chosen, base: As `possible_values` takes them.
    """
    return effects.dependency(name, lambda field: possible_values(field, chosen, base))


def declare(hyperparameters, dimensions: Sequence[Dimension], base: FitConfig) -> None:
    """Adds the dimensions to KerasTuner's `HyperParameters`; some are active under a condition.

    The default, which a grid begins with, is the value of `base` where that is possible.
    """
    by_name = {dimension.name: dimension for dimension in dimensions}
    for dimension in dimensions:
        parent, matters = dependency(dimension.name, by_name, base)
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
    make = hyperparameters.Int if type_of(dimension.name) is int else hyperparameters.Float
    inside = dimension.low <= default <= dimension.high
    make(
        dimension.name,
        dimension.low,
        dimension.high,
        sampling=dimension.sampling,
        default=default if inside else dimension.low,
    )
