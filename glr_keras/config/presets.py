"""Presets: named sets of values that flags go over, and what differs for the demo."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from glr_keras.config.fit_config import FitConfig
from glr_keras.config.flags import from_flags
from tfrecords.common.console import UserError
from tfrecords.common.flags import flag_of

# The settings of the student report that this project started from, to the letter.
REPORT = {
    "feature_layers": "",
    "pooling": "flatten",
    "normalize": False,
    "head_units": (4096, 4096),
    "dropout": 0.5,
    "attention_channels": 512,
    "attention_map": "class-agnostic",
    "attention_start": "random",
    "attention_kernel": 3,
    "answer": "perception",
    "alpha": 0.25,
    "beta": 1.0,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "mixup": 0.0,
    "batch_size": 32,
    "epochs": 3,
    "views": 0,
    "plain_view": False,
    "image_size": 224,
    "framing": "center",
    "rotation": 45.0,
    "brightness": 0.25,
}
# What is behind a layer of the backbone learns with the head: twenty minutes or more rather than
# one, for the highest accuracy (docs/results.md).
FINETUNE = {"epochs": 15, "ema": 0.98}
PRESETS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {"default": {}, "report": REPORT, "fast": {"head": "logistic"}, "finetune": FINETUNE}
)

# What the built-in demo sets otherwise, so that it takes a minute on a laptop and works even on
# random weights: small photos, small batches, one plain view of each (with a second, augmented one
# it takes half as long again, and reaches 93 rather than 96 % on random weights; two seeds), and
# gentle views where more are asked for, since the demo's cameras never tilt far. In the central
# crop landmarks stand farther from the middle, so that a map of the middle does not pass for one of
# the landmark; so a head must average over space. Roots of random features' averages tell landmarks
# apart less well (perception branch 73 rather than 85 %). Block 4 of VGG16 has four times the cells
# of the last layer, so that the map lies closer to the landmark, and takes less time.
DEMO = {
    "cut_layer": "block4_pool",
    "image_size": 128,
    "framing": "center",
    "pooling": "average",
    "epochs": 16,
    "alpha": 1.0,
    "batch_size": 8,
    "views": 1,
    "rotation": 15.0,
    "min_crop_area": 0.7,
}


# Two depths side by side, where that was measured to beat the last layer alone (docs/results.md);
# photos that are mixed, where maps were measured to be better for it (docs/maps.md).
DEPTHS = MappingProxyType(
    {"vgg16": "block4_pool,block5_pool", "mobilenet_v2": "block_13_expand_relu,out_relu"}
)
MIXUP = MappingProxyType({"vgg16": 0.3, "mobilenet_v2": 0.3})
# Several ways of pooling with a classifier each, where that was measured to recognise more photos
# (docs/results.md); of features that are fine-tuned only where that pays at all.
POOLING = MappingProxyType({"vgg16": "ensemble", "mobilenet_v2": "ensemble"})
# After which layer `--preset finetune` trains, where that was measured to pay (docs/results.md).
FINETUNE_AFTER = MappingProxyType({"vgg16": "block4_pool"})
OTHER_LAYERS = {"cut_layer", "branch_layer"}  # settings that `feature_layers` excludes
LAYERS = OTHER_LAYERS | {"feature_layers", "finetune_after"}


def new_config(
    flags: Mapping[str, Any], preset: str = "default", is_demo: bool = False
) -> FitConfig:
    """Returns the config of a new run: a preset's values, and what was typed over them.

    Args:
        flags: Values by name, as `add_flags` parses them.
        preset: "default", the fields' own values and, of some backbones, features of two depths,
            mixup and another pooling; "report"; "fast"; or "finetune".
        is_demo: Whether the photos are the built-in demo's, for which some values differ.

    Raises:
        UserError: a value is out of its range, or two of them don't fit together.
    """
    values = {**PRESETS[preset], **flags}
    backbone = values.get("backbone", FitConfig.backbone)
    if preset == "finetune" and not values.keys() & {"finetune_after", "branch_layer"}:
        if backbone not in FINETUNE_AFTER:
            raise UserError(
                f"--preset finetune was measured to pay with {', '.join(FINETUNE_AFTER)}, not with "
                f"{backbone}. To try it, name a layer or block near the end with --finetune-after."
            )
        values["finetune_after"] = FINETUNE_AFTER[backbone]
    if is_demo:
        values = _demo_values(backbone, values.keys()) | values
    is_flat = values.get("pooling") == "flatten"
    if not (is_demo or is_flat or values.keys() & OTHER_LAYERS):
        values = {"feature_layers": DEPTHS.get(backbone, "")} | values
    if not is_demo and values.get("head") != "logistic":
        values = {"mixup": MIXUP.get(backbone, 0.0)} | values
        if backbone in (FINETUNE_AFTER if values.get("finetune_after") else POOLING):
            values = {"pooling": POOLING[backbone]} | values
    try:
        return from_flags(values, FitConfig())
    except UserError as error:
        if not (untyped := _named_in(str(error), values.keys() - flags.keys())):
            raise
        default = "The built-in demo" if is_demo else f"The default of {backbone}"
        source = default if preset == "default" else f"--preset {preset}"
        raise UserError(f"{error}\n{source} sets {' and '.join(untyped)}.") from error


def _demo_values(backbone, chosen):
    """Returns `DEMO`; without its layer for another backbone, or where layers are `chosen`."""
    if backbone == FitConfig.backbone and not LAYERS & chosen:
        return DEMO
    return {name: value for name, value in DEMO.items() if name != "cut_layer"}


def _named_in(message, names):
    flags = re.findall(r"--[a-z-]*[a-z]", message)
    return [flag for flag in dict.fromkeys(flags) if flag in map(flag_of, names)]
