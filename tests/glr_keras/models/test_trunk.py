"""The trunk: what of a backbone comes behind the branch layer, in front of the perception."""

import json

import keras
import numpy as np
import pytest
from small_trunks import LABELS, PHOTOS, SMALL_TRUNK

from glr_keras.config import FitConfig
from glr_keras.data.records import open_records
from glr_keras.evaluation.evaluating import evaluate_split
from glr_keras.evaluation.sources import Evaluated
from glr_keras.inference.landmark_model import load
from glr_keras.models.backbones import build_backbone, build_networks
from glr_keras.models.heads import build_head
from glr_keras.models.landmark_maps import landmark_maps, map_names
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import Recognizer
from glr_keras.models.trunk import copy_trunk
from glr_keras.training.train import train
from glr_keras.training.variables import changing
from tfrecords.common.console import UserError

SMALL = SMALL_TRUNK | {"branch_layer": "block2_pool", "epochs": 3}


def config_of(**settings):
    return FitConfig(**SMALL | settings)


def head_of(**settings):
    config = config_of(**settings)
    backbone, trunk = build_networks(config)
    head = build_head(config, 3, backbone.output_shape[1:], trunk)
    return config, backbone, head


def train_steps(config, head, features, steps=1):
    compile_model(head, config, steps_per_epoch=1)
    for _ in range(steps):
        head.train_on_batch(features, dict.fromkeys(head.branches, LABELS))


def test_backbone_and_trunk_are_the_whole_network():
    backbone, trunk = build_networks(config_of())
    assert (backbone.output_shape, trunk.output_shape) == ((None, 8, 8, 128), (None, 4, 4, 256))
    whole = build_backbone(config_of(branch_layer=""))
    np.testing.assert_array_equal(trunk(backbone(PHOTOS)), whole(PHOTOS))


def test_features_are_those_of_the_same_cut_layer():
    backbone = build_backbone(config_of())
    cut = build_backbone(config_of(branch_layer="", cut_layer="block2_pool"))
    np.testing.assert_array_equal(backbone(PHOTOS), cut(PHOTOS))


def test_a_block_stands_for_its_end():
    for name, end in (("vgg16", "block4_pool"), ("mobilenet_v2", "block_12_add")):
        block = {"block4_pool": "block4", "block_12_add": "block_12"}[end]
        shapes = [
            build_backbone(config_of(backbone=name, cut_layer="", branch_layer=one)).output_shape
            for one in (block, end)
        ]
        assert shapes[0] == shapes[1]


def test_the_perception_branch_sees_the_trunk_of_the_weighted_features():
    _, backbone, head = head_of(normalize=False)
    features = backbone(PHOTOS)
    outputs = head.explain(features)
    assert outputs["attention_map"].shape == (4, 8, 8, 1)
    seen = head.trunk(features * (1 + outputs["attention_map"]))
    np.testing.assert_allclose(outputs["perception"], head.branch(seen), rtol=1e-5)
    assert set(head(features)) == {"attention", "perception"}


@pytest.mark.parametrize("head_name", ["abn", "dropout"])
def test_maps_stand_on_the_grid_of_the_branch_layer(head_name):
    _, backbone, head = head_of(head=head_name)
    features = np.asarray(backbone(PHOTOS))
    for name in map_names(head):
        maps = landmark_maps(head, features, name)
        assert maps.shape == (4, 8, 8)
        assert maps.max() > 0


@pytest.mark.parametrize("head_name", ["abn", "dropout"])
def test_a_recognizer_with_a_trunk_loads_as_it_was_saved(head_name, tmp_path):
    config, backbone, head = head_of(head=head_name, train_trunk=True)
    train_steps(config, head, backbone(PHOTOS))
    head.optimizer, head.compiled = None, False
    recognizer = Recognizer(backbone, head, ["a", "b", "c"])
    recognizer.build(backbone.input_shape)
    recognizer.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.probabilities(PHOTOS), recognizer.probabilities(PHOTOS))
    assert loaded.head.trunk.output_shape == (None, 4, 4, 256)


def test_a_frozen_trunk_does_not_change_and_is_in_no_checkpoint():
    config, backbone, head = head_of()
    before = head.trunk.get_weights()
    train_steps(config, head, backbone(PHOTOS))
    assert all(np.array_equal(*pair) for pair in zip(before, head.trunk.get_weights(), strict=True))
    assert not {id(v) for v in changing(head)} & {id(v) for v in head.trunk.variables}


@pytest.mark.parametrize(
    "settings", [{"train_trunk": True}, {"branch_layer": "", "finetune_after": "block2_pool"}]
)
def test_a_trained_trunk_waits_and_then_learns_at_its_own_rate(settings):
    moved = {}
    for factor, frozen_epochs in ((1.0, 0), (0.25, 0), (0.25, 1)):
        config, backbone, head = head_of(
            **settings, trunk_learning_rate=factor, frozen_epochs=frozen_epochs
        )
        before = head.trunk.get_weights()
        train_steps(config, head, backbone(PHOTOS))
        pairs = zip(head.trunk.get_weights(), before, strict=True)
        moved[factor, frozen_epochs] = [after - old for after, old in pairs]
    assert any(np.abs(step).max() > 1e-6 for step in moved[1.0, 0])
    for whole, quarter in zip(moved[1.0, 0], moved[0.25, 0], strict=True):
        np.testing.assert_allclose(quarter, whole / 4, atol=1e-6)
    assert not any(step.any() for step in moved[0.25, 1])
    assert {id(v) for v in head.trunk.variables} <= {id(v) for v in changing(head)}
    train_steps(config, head, backbone(PHOTOS), steps=2)
    assert any((a != b).any() for a, b in zip(head.trunk.get_weights(), before, strict=True))


def test_batch_norms_of_a_trained_trunk_stay_as_they_are():
    config, backbone, head = head_of(
        backbone="mobilenet_v2", cut_layer="", branch_layer="block_15", train_trunk=True
    )
    norms = [
        layer
        for layer in head.trunk._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [values for layer in norms for values in layer.get_weights()]
    train_steps(config, head, backbone(PHOTOS))
    after = [values for layer in norms for values in layer.get_weights()]
    assert norms
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert head.trunk.trainable_variables


def test_a_copy_of_a_trunk_shares_nothing():
    _, trunk = build_networks(config_of(train_trunk=True))
    copy = copy_trunk(trunk)
    first = trunk.get_weights()[0]
    copy.set_weights([values * 0 for values in copy.get_weights()])
    np.testing.assert_array_equal(trunk.get_weights()[0], first)
    assert len(copy.trainable_variables) == len(trunk.trainable_variables)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"branch_layer": "block9"},
            r"vgg16 has no such block or layer\. .* end of block1, block2",
        ),
        ({"branch_layer": "block3_pool"}, "nothing of vgg16 is behind it"),
        ({"branch_layer": "block5_conv1"}, "nothing of vgg16 is behind it"),
        (
            {"backbone": "resnet50_v2", "cut_layer": "", "branch_layer": "conv4_block2_1_conv"},
            r"resnet50v2 is not a single tensor there\. .*conv4_block5, conv4_block6",
        ),
    ],
)
def test_a_branch_layer_that_is_none_lists_the_blocks(settings, message):
    with pytest.raises(UserError, match=message):
        build_networks(config_of(**settings))


def test_a_trunk_of_other_features_is_refused():
    config = config_of()
    _, trunk = build_networks(config)
    with pytest.raises(UserError, match=r"takes features of shape \(8, 8, 128\), and these are"):
        build_head(config, 3, (7, 7, 128), trunk)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_trunk": True}, "--train-trunk needs --branch-layer, e.g. block4_pool"),
        ({"frozen_epochs": 1}, "--frozen-epochs needs --finetune-after or --train"),
        ({"branch_layer": "a", "feature_layers": "b,c"}, "exclude each other"),
        ({"branch_layer": "a", "head": "logistic"}, "--head logistic is fitted to features"),
        (
            {"branch_layer": "a", "train_trunk": True, "frozen_epochs": 5, "epochs": 5},
            "--frozen-epochs must be below --epochs 5, got 5",
        ),
    ],
)
def test_flags_that_do_not_fit_a_trunk_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FitConfig(**settings)


def test_the_config_of_a_head_without_a_trunk_is_that_of_earlier_versions():
    head = build_head(config_of(branch_layer=""), 3, (4, 4, 8))
    assert "trunk" not in json.dumps(head.get_config())


def test_a_run_with_a_trunk_is_loaded_and_evaluated_on_its_features(demo_data, tmp_path):
    places = {"data_dir": str(demo_data), "features_dir": str(tmp_path)}
    config = config_of(run_dir=str(tmp_path / "run"), **places, train_trunk=True, views=1)
    metrics = train(config)
    explanation = load(tmp_path / "run").explain(PHOTOS[0])
    assert explanation.attention_map.shape == (8, 8)
    records = open_records(demo_data)
    evaluated = Evaluated(tmp_path / "run")
    assert evaluated.stored_views(records, "test").shape == (8, 8, 128)
    again = evaluate_split(evaluated, records, "test").as_dict(accept=0.95)
    assert again["outputs"]["answer"]["accuracy"] == metrics["test"]["accuracy"]
