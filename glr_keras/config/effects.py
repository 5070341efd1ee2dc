"""Which settings change nothing beside others: searches leave them out, `fit` refuses them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from glr_keras.config.fit_config import FitConfig
from tfrecords.common.console import UserError
from tfrecords.common.flags import flag_of

# Setting -> the one it depends on, and the values of that at which it changes anything.
NEEDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("alpha", "answer", "attention_channels", "attention_kernel", "attention_map"),
        ("head", lambda head: head == "abn"),
    ),
    "attention_start": ("attention_map", lambda kind: kind == "class-agnostic"),
    "head_units": ("head", lambda head: head not in ("linear", "logistic")),
    "dropout": ("head_units", bool),
    "momentum": ("optimizer", lambda optimizer: optimizer == "sgd"),
    **dict.fromkeys(("trunk_learning_rate", "frozen_epochs"), ("trunk_learns", bool)),
    "step_epochs": ("schedule", lambda schedule: schedule == "step"),
    "step_factor": ("schedule", lambda schedule: schedule == "step"),
}

PLAIN_POOLINGS = {"flatten", "average"}  # nothing of what they give is dropped

# What a head without epochs takes no notice of.
OF_GRADIENT_DESCENT = {
    *("optimizer", "learning_rate", "schedule", "warmup_epochs", "weight_decay", "clip_norm"),
    *("ema", "label_smoothing", "patience", "beta", "dropout"),
}


def dependency(
    name: str, possible: Callable[[str], Iterable]
) -> tuple[str, Callable[[Any], bool]] | tuple[None, None]:
    """Returns the setting on which another one depends, and a predicate of that one's values.

    Where the predicate is false, the setting changes nothing. Both are None where it always
    changes something: dropout does where pooled features are dropped, hidden layers or not.

    Args:
        name: A field of `FitConfig`.
        possible: From a field, or property, to the values that it may have.
    """
    if name == "dropout":
        if not PLAIN_POOLINGS.issuperset(possible("pooling")):
            return None, None
        if set(possible("head")) == {"linear"}:
            return "pooling", lambda pooling: pooling not in PLAIN_POOLINGS
    return NEEDS.get(name, (None, None))


def check_effects(typed: Mapping[str, Any], config: FitConfig) -> None:
    """Looks for a flag that changes nothing.

    A 0 or nothing is taken where it says what holds anyway, such as no hidden layers of a linear
    head. `--answer` is among the rules of `FitConfig`.

    Args:
        typed: Field -> value, of what a user has typed.
        config: What became of it.

    Raises:
        UserError: there is one.
    """
    for name, value in typed.items():
        parent, matters = dependency(name, lambda field: (getattr(config, field),))
        if config.head == "logistic" and name in OF_GRADIENT_DESCENT:
            parent, matters = "head", lambda head: head != "logistic"
        if parent is None or matters is None or not value or name == "answer":
            continue
        if matters(getattr(config, parent)):
            continue
        reason = why_idle(parent, config)
        raise UserError(f"{flag_of(name)} changes nothing {reason}: leave it out.")


def why_idle(parent: str, config: FitConfig) -> str:
    """Returns where it is that what depends on `parent` changes nothing: "with --head linear"."""
    if parent == "trunk_learns":
        return (
            "where nothing of the backbone learns (--finetune-after, or --branch-layer with "
            "--train-trunk)"
        )
    value = getattr(config, parent)
    shown = (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else value
    return f"with {flag_of(parent)} {shown}"
