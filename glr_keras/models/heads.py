"""The table of heads: what can learn on the features of a backbone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras

from glr_keras.config import FitConfig
from glr_keras.models.abn import ABN
from glr_keras.models.finetuned import FineTunedHead
from glr_keras.models.plain_heads import DropoutHead, LinearHead, LogisticHead
from glr_keras.models.seeding import seeded_layers
from tfrecords.common.console import UserError

# A head is a `keras.Model` class on features with these: `branches` (names of its outputs),
# `answer` (see `answer.AnswerMetrics`), `map_name`, `solver` ("gradient descent" or "l-bfgs", see
# `training.logistic`) and `settings_of_config` (the fields of
# `FitConfig` that its constructor takes). One with a map of its own has `explain(features)`.
HEADS: Mapping[str, Any] = MappingProxyType(
    {"abn": ABN, "dropout": DropoutHead, "linear": LinearHead, "logistic": LogisticHead}
)


def build_head(
    config: FitConfig,
    num_landmarks: int,
    feature_shape: tuple[int, int, int],
    trunk: keras.Model | None = None,
):
    """Builds the head that `config` names, with weights drawn from its seed.

    Args:
        config: FitConfig.
        num_landmarks: Int, number of classes.
        feature_shape: (height, width, channels) of one photo's features.
        trunk: What comes behind them, from `backbones.build_networks`.

    Returns:
        One of `HEADS`; behind a trunk that is fine-tuned with it, a `FineTunedHead`.

    Raises:
        UserError: the trunk takes other features.
    """
    if trunk is not None and trunk.input_shape[1:] != tuple(feature_shape):
        raise UserError(
            f"The trunk behind {config.split_layer} takes features of shape "
            f"{trunk.input_shape[1:]}, and these are {tuple(feature_shape)}: of another layer or "
            "another --image-size."
        )
    head_class = HEADS[config.head]
    settings = {name: getattr(config, name) for name in head_class.settings_of_config}
    is_finetuned = trunk is not None and bool(config.finetune_after)
    if trunk is not None and not is_finetuned:
        settings["trunk"] = trunk
    with seeded_layers(config.seed):
        head = head_class(num_landmarks=num_landmarks, **settings)
        if is_finetuned:
            head = FineTunedHead(trunk, head)
        head.build((None, *feature_shape))
    return head
