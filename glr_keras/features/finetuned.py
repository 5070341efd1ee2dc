"""Features of a fine-tuned backbone, from the stored ones of the layer where its trunk begins."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from glr_keras.config import FitConfig
from glr_keras.data.records import Records
from glr_keras.features.computing import compute_block
from glr_keras.features.extraction import feature_views, find_views
from glr_keras.features.missing import to_float16
from glr_keras.features.store import FeatureViews
from glr_keras.features.view_files import ViewFile
from glr_keras.models.backbones import hash_weights

TOO_LARGE = "Train in another --run-dir with a lower --learning-rate or --trunk-learning-rate."


def finetuned_views(
    records: Records,
    backbone: keras.Model,
    trunk: keras.Model,
    before: dict[str, FeatureViews],
    config: FitConfig,
) -> dict[str, FeatureViews]:
    """Opens the features of a fine-tuned backbone; what is missing is computed by its trunk.

    They are stored like those of any backbone, of train photos view 0 only.

    Args:
        records: From `data.open_records`.
        backbone: Front and trunk, of a `Recognizer.joined`.
        trunk: From features of the layer before to those of the backbone.
        before: Split -> stored features of that layer.
        config: FitConfig of the run, with `finetune_after`.

    Returns:
        Dict from split to its features.

    Raises:
        UserError: as `extraction.feature_views`.
    """
    files = {
        (split, view): TrunkRows(file, trunk)
        for split, views in before.items()
        for view, file in views.files.items()
    }
    weights_hash = hash_weights(backbone)
    return feature_views(
        records, backbone, weights_hash, _as_stored(config), list(before), files, _facts(config)
    )


def find_finetuned_views(
    records: Records, split: str, backbone: keras.Model, config: FitConfig
) -> FeatureViews | None:
    """Opens them if all are stored, as `extraction.find_views` does."""
    shape = backbone.output_shape[1:]
    weights_hash = hash_weights(backbone)
    return find_views(records, split, weights_hash, shape, _as_stored(config), _facts(config))


class TrunkRows:
    """What a trunk makes of a stored view; its rows are read like those of a `ViewFile`.

    Args:
        file: ViewFile of `(photos, *trunk.input_shape[1:])`.
        trunk: keras.Model.
    """

    def __init__(self, file: ViewFile, trunk: keras.Model):
        self._file, self._trunk = file, trunk
        self.shape = (file.shape[0], *trunk.output_shape[1:])

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """Returns float16 `(len(numbers), height, width, channels)`."""
        return to_float16(compute_block(self._trunk, self._file.rows(numbers)), TOO_LARGE)


def _facts(config):
    return {"finetuned_after": config.finetune_after}  # so that a list of features shows it


def _as_stored(config):
    return dataclasses.replace(config, finetune_after="", frozen_epochs=0, views=1)
