"""How two configs differ, and whether a run can take over the model of another."""

import dataclasses

from glr_keras.config.fit_config import FitConfig
from tfrecords.common.console import UserError

# What a second stage takes over from its base run: the network, its features and its head.
MODEL_FIELDS = (
    "backbone",
    "weights",
    "cut_layer",
    "feature_layers",
    "branch_layer",
    "image_size",
    "framing",
    "head",
    "answer",
    "pooling",
    "normalize",
    "head_units",
    "dropout",
    "attention_channels",
    "attention_kernel",
    "attention_map",
    "attention_start",
)
LOCATIONS = ("data_dir", "run_dir", "features_dir")  # where a run, and what it reads, lies


def differences(config: FitConfig, other: FitConfig) -> list[str]:
    """Names the fields in which two configs differ, with both values.

    Where something lies is no difference, since a run can be moved: what lies there is compared by
    its hash (see `RunDir.bind`). Nor is a precision that is not resolved yet.
    """
    pairs = [
        (f.name, getattr(config, f.name), getattr(other, f.name))
        for f in dataclasses.fields(config)
        if f.name not in LOCATIONS
    ]
    return [
        f"{name} was {old!r}, now {new!r}"
        for name, old, new in pairs
        if _compared(name, old) != _compared(name, new)
        and not (name == "precision" and "auto" in (old, new))
    ]


def check_same_model(base: FitConfig, config: FitConfig) -> None:
    """Finds whether `config` keeps the model of a run with `base`, for a second stage on it.

    Raises:
        UserError: it asks for another model.
    """
    changed = [
        name
        for name in MODEL_FIELDS
        if _compared(name, getattr(base, name)) != _compared(name, getattr(config, name))
    ]
    if changed:
        shown = [f"{name} is {getattr(base, name)!r}" for name in changed]
        got = [repr(getattr(config, name)) for name in changed]
        raise UserError(
            f"--finetune-from keeps the model of {config.finetune_from}: {', '.join(shown)} there, "
            f"got {', '.join(got)}. Leave that out, or train a new run without --finetune-from."
        )


def _compared(name, value):
    if name == "finetune_from":
        return bool(value)
    if name == "weights" and value not in ("imagenet", "random"):
        return "a file"
    return value
