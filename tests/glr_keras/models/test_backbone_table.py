"""Every backbone of the table: from photos to an export, with random weights at 64 pixels."""

import keras
import numpy as np
import pytest

from glr_keras.config import FitConfig
from glr_keras.data.records import open_records
from glr_keras.export import export
from glr_keras.inference.landmark_model import load
from glr_keras.models.backbones import BACKBONES, blocks_of, build_backbone, build_networks
from glr_keras.models.recognizer import build_model
from glr_keras.models.saving import read_recognizer
from glr_keras.models.trunk import block_ends
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


# A branch layer whose features the slow suite takes through a run with a trunk that learns.
BRANCHES = {
    "vgg16": "block4_pool",
    "mobilenet_v2": "block_12",
    "resnet50_v2": "conv4_block6",
    "efficientnet_v2_b0": "block5e",
    "convnext_tiny": "convnext_tiny_stage_2_block_8",
}
CASES = [(name, "") for name in BACKBONES] + list(BRANCHES.items())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "branch_layer"), CASES)
def test_a_run_loads_and_is_exported(name, branch_layer, demo_data, tmp_path):
    settings = {"attention_channels": 4, "epochs": 1, "views": 1, "warmup_epochs": 0}
    settings |= {"branch_layer": branch_layer, "train_trunk": bool(branch_layer)}
    run, photos = tmp_path / "run", {"data_dir": str(demo_data), "features_dir": str(tmp_path)}
    train(config_of(name, run_dir=str(run), **photos, **settings))
    records = open_records(demo_data)
    jpeg = next(iter(records.builder.as_dataset(split="test", decoders=None)))["image"].numpy()
    expected = load(run).predict(jpeg).probabilities
    export(run, tmp_path / "export", demo_data, "float32", 8)
    np.testing.assert_allclose(
        load(tmp_path / "export").predict(jpeg).probabilities, expected, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "branch_layer"), CASES)
def test_trained_in_bfloat16_it_loads_as_it_would_be_in_float32(name, branch_layer, tmp_path):
    settings = {"branch_layer": branch_layer, "attention_channels": 4}
    low, full = (
        build_model(config_of(name, precision=precision, **settings), num_landmarks=3)
        for precision in ("bfloat16", "float32")
    )
    full.set_weights(low.get_weights())
    low.save(tmp_path / "model.keras")
    loaded = read_recognizer(tmp_path / "model.keras", in_float32=True)
    size = loaded.backbone.input_shape[1]
    photos = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    np.testing.assert_allclose(
        loaded.probabilities(photos), full.probabilities(photos), rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_it_can_be_split_behind_all_its_blocks_but_the_last(name):
    size = config_of(name).image_size
    network = BACKBONES[name].build(weights=None, input_shape=(size, size, 3))
    ends = list(block_ends(network, BACKBONES[name].block))
    assert len(ends) >= 4
    backbone, trunk = build_networks(config_of(name, branch_layer=ends[-1]))
    photos = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    expected = np.asarray(build_backbone(config_of(name))(photos))
    np.testing.assert_allclose(
        trunk(backbone(photos)), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max()
    )
