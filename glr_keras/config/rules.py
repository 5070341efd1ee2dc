"""What the values of a `FitConfig` must be, each by itself and together."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tfrecords.common.console import UserError
from tfrecords.common.flags import choices_of, flag_of

# Smallest and largest value of each number; the upper ends only catch slips of the keyboard.
RANGES = (
    ("image_size", 32, 2048),
    ("dropout", 0, 0.99),
    ("attention_channels", 1, 65536),
    ("attention_kernel", 1, 15),
    ("alpha", 0, 1000),
    ("beta", 0, 1000),
    ("learning_rate", 1e-9, 100),
    ("trunk_learning_rate", 1e-6, 1),
    ("frozen_epochs", 0, 99_999),
    ("warmup_epochs", 0, 100_000),
    ("step_epochs", 1, 100_000),
    ("step_factor", 1e-6, 1),
    ("momentum", 0, 0.9999),
    ("weight_decay", 0, 100),
    ("clip_norm", 0, 1e6),
    ("ema", 0, 0.999999),
    ("label_smoothing", 0, 0.99),
    ("mixup", 0, 100),
    ("balance", 0, 1),
    ("patience", 0, 100_000),
    ("trainable_blocks", 0, 100),
    ("batch_size", 1, 65536),
    ("epochs", 1, 100_000),
    ("views", 0, 100_000),
    ("seed", 0, 2**31 - 1),
    ("feature_seed", -1, 2**31 - 1),
    ("rotation", 0, 180),
    ("min_crop_area", 0.01, 1),
    ("brightness", 0, 0.99),
)
# What a config must not be, and what its user is told; the first that holds counts.
RULES: tuple[tuple[Callable[[Any], Any], str], ...] = (
    (
        lambda c: c.head_units and min(c.head_units) < 1,
        "--head-units must be whole numbers above 0, got {head_units}.",
    ),
    (
        lambda c: c.optimizer == "adamw" and not c.weight_decay,
        "--optimizer adamw is adam until --weight-decay is set, e.g. to 0.01.",
    ),
    (
        lambda c: c.warmup_epochs > c.epochs,
        "--warmup-epochs must be at most --epochs {epochs}, got {warmup_epochs}.",
    ),
    (
        lambda c: c.trainable_blocks and not c.finetune_from,
        "--trainable-blocks needs --finetune-from RUN: blocks are trained after the head.",
    ),
    (
        lambda c: c.finetune_from and not c.trainable_blocks,
        "--trainable-blocks must be 1 or more with --finetune-from, got 0.",
    ),
    (
        lambda c: c.head == "logistic" and (c.is_live or c.distribute != "none"),
        "--head logistic is fitted to stored features, on one device: leave out --live, "
        "--finetune-from and --distribute.",
    ),
    (
        lambda c: c.head == "logistic" and c.mixup,
        "--head logistic is fitted to the stored views as they are: leave out --mixup.",
    ),
    (
        lambda c: c.head == "logistic" and c.pooling in ("attentive", "bilinear", "ensemble"),
        "--head logistic is fitted to what is pooled, and the pooling of {pooling} learns itself: "
        "name --pooling root, or another head.",
    ),
    (
        lambda c: c.feature_layers and c.cut_layer,
        "--feature-layers and --cut-layer exclude each other: name layers once.",
    ),
    (
        lambda c: c.feature_layers and c.pooling == "flatten",
        "--feature-layers can't go with --pooling flatten: flattened features of several depths "
        "would make a layer of hundreds of millions of weights.",
    ),
    (
        lambda c: c.branch_layer and c.feature_layers,
        "--branch-layer and --feature-layers exclude each other: behind a branch layer comes one "
        "trunk. Leave one out; --feature-layers '' takes back that of a config.",
    ),
    (
        lambda c: c.finetune_after and c.branch_layer,
        "--finetune-after and --branch-layer exclude each other: features are stored at one layer.",
    ),
    (
        lambda c: c.finetune_after and c.finetune_from,
        "--finetune-after fine-tunes together with a new head, --finetune-from those of a complete "
        "run: leave one out.",
    ),
    (
        lambda c: c.split_layer and c.head == "logistic",
        "--head logistic is fitted to features as they are: leave out --branch-layer and "
        "--finetune-after, or name another head.",
    ),
    (
        lambda c: c.train_trunk and not c.branch_layer,
        "--train-trunk needs --branch-layer, e.g. block4_pool of vgg16: the trunk is what of the "
        "backbone is behind it.",
    ),
    (
        lambda c: c.frozen_epochs and not c.trunk_learns,
        "--frozen-epochs needs --finetune-after or --train-trunk: else nothing of the backbone "
        "learns at all.",
    ),
    (
        lambda c: c.trunk_learns and c.frozen_epochs >= c.epochs,
        "--frozen-epochs must be below --epochs {epochs}, got {frozen_epochs}.",
    ),
    (
        lambda c: c.answer == "attention" and c.head != "abn",
        "--answer attention: a {head} head has no attention branch. Leave it out, or train with "
        "--head abn.",
    ),
    (
        lambda c: c.beta == 0 and (c.alpha == 0 or c.head != "abn"),
        "--beta 0 leaves nothing to learn here. Raise it above 0.",
    ),
)


def check(config) -> None:
    """Finds the first value that is out of its range, or does not go with others.

    Args:
        config: FitConfig.

    Raises:
        UserError: there is one.
    """
    for name, low, high in RANGES:
        if not low <= getattr(config, name) <= high:
            raise _wrong(config, name, f"between {low} and {high}")
    for field in dataclasses.fields(config):
        choices = choices_of(field)
        if choices and getattr(config, field.name) not in choices:
            raise _wrong(config, field.name, f"one of {', '.join(choices)}")
    for is_broken, message in RULES:
        if is_broken(config):
            raise UserError(message.format_map(vars(config)))


def _wrong(config, name, wanted):
    return UserError(f"{flag_of(name)} must be {wanted}, got {getattr(config, name)}.")
