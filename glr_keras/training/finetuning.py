"""The second stage: a complete run's model, trained on with the last blocks of its backbone."""

import dataclasses
from pathlib import Path

import keras

from glr_keras.config import FitConfig, check_same_model, read_json
from glr_keras.models.backbones import BACKBONES, blocks_of, build_networks
from glr_keras.models.heads import build_head
from glr_keras.models.recognizer import Recognizer
from glr_keras.models.saving import read_recognizer
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError


def load_base(config: FitConfig, landmarks: list[str]) -> tuple[Recognizer, str]:
    """Loads the model of the run `config.finetune_from`, ready to be trained on.

    Args:
        config: FitConfig; its precision is not "auto".
        landmarks: Names in label order.

    Returns:
        recognizer: Recognizer whose head and last `config.trainable_blocks` blocks learn.
        warning: That of the run's metrics; empty if there is none.

    Raises:
        UserError: no complete run is there, or one of other landmarks or of another model.
    """
    base = RunDir(Path(config.finetune_from))
    if not (base.is_complete and base.model.exists()):
        raise UserError(
            f"--finetune-from {base.path}: expected a complete run, and it has no metrics.json. "
            "Make or finish it with: python -m glr_keras.fit --run-dir RUN ..."
        )
    check_same_model(read_json(base.path / "config.json"), config)
    metrics = base.read_metrics()
    saved = read_recognizer(base.model)
    if saved.landmarks != landmarks:
        raise UserError(
            f"{base.path} knows {len(saved.landmarks)} landmarks, and {config.data_dir} has "
            f"{len(landmarks)} or others. Name the records of that run."
        )
    recognizer = _in_precision(saved, config)
    unfreeze(recognizer.backbone, config.trainable_blocks)
    accuracy = metrics["validation"]["accuracy"]
    print(f"Fine-tuning {base.path}, which reached {accuracy:.1%} of its validation photos.")
    return recognizer, metrics.get("warning", "")


def _in_precision(saved, config):
    """Returns `saved` with a backbone that computes in `config.precision`, whatever it did before.

    Built anew: some layers keep what they were built in, whatever policy they are given later.
    """
    backbone, trunk = build_networks(dataclasses.replace(config, weights="random"))
    # The layers of a fine-tuned one are nested otherwise, in the same order.
    backbone.set_weights(saved.backbone.get_weights())
    head = saved.head
    if trunk is not None:
        head = build_head(config, len(saved.landmarks), backbone.output_shape[1:], trunk)
        head.set_weights(saved.head.get_weights())
    recognizer = Recognizer(backbone, head, saved.landmarks, saved.framing)
    recognizer.build(backbone.input_shape)
    return recognizer


def unfreeze(backbone: keras.Model, num_blocks: int) -> None:
    """Makes the last blocks of a backbone trainable, except for their batch norms.

    Those stay as they are: the statistics of a small batch would disturb what ImageNet taught the
    layers behind them.

    Args:
        backbone: From `backbones.build_backbone`.
        num_blocks: Int, from 1 up to all of them.

    Raises:
        UserError: it has fewer blocks.
    """
    network = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    blocks = blocks_of(network, BACKBONES[backbone.name].block)
    if num_blocks > len(blocks):
        raise UserError(
            f"--trainable-blocks {num_blocks}: {network.name} has {len(blocks)} "
            f"({', '.join(blocks)})."
        )
    names = {layer.name for block in list(blocks)[-num_blocks:] for layer in blocks[block]}
    backbone.trainable = True
    for layer in network.layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in names and not is_norm
