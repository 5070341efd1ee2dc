"""Every backbone of the table: from photos to an export, with random weights at 64 pixels."""

import keras
import numpy as np
import pytest

from glr_keras.config import FitConfig
from glr_keras.data.records import open_records
from glr_keras.export import export
from glr_keras.inference.landmark_model import load
from glr_keras.models.backbones import BACKBONES, blocks_of, build_backbone
from glr_keras.training.train import train

SMALL = {"weights": "random", "image_size": 64, "precision": "float32"}


def config_of(name, **settings):
    size = 75 if name == "inception_v3" else 71 if name == "xception" else 64  # their least
    return FitConfig(backbone=name, **SMALL | {"image_size": size} | settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_it_has_blocks_to_fine_tune(name):
    backbone = build_backbone(config_of(name))
    network = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    blocks = blocks_of(network, BACKBONES[name].block)
    assert len(blocks) >= 4
    last = sum(layer.count_params() for layer in blocks[list(blocks)[-1]])
    assert 0 < last < network.count_params() / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_a_run_loads_and_is_exported(name, demo_data, tmp_path):
    settings = {"attention_channels": 4, "epochs": 1, "views": 1, "warmup_epochs": 0}
    run, photos = tmp_path / "run", {"data_dir": str(demo_data), "features_dir": str(tmp_path)}
    train(config_of(name, run_dir=str(run), **photos, **settings))
    records = open_records(demo_data)
    jpeg = next(iter(records.builder.as_dataset(split="test", decoders=None)))["image"].numpy()
    expected = load(run).predict(jpeg).probabilities
    export(run, tmp_path / "export", demo_data, "float32", 8)
    np.testing.assert_allclose(
        load(tmp_path / "export").predict(jpeg).probabilities, expected, atol=1e-4
    )
