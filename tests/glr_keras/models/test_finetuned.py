"""Fine-tuning on stored features: what is behind a layer of the backbone learns with the head."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from small_trunks import LABELS, PHOTOS, SMALL_TRUNK

from glr_keras.config import FitConfig
from glr_keras.config.presets import new_config
from glr_keras.data.records import open_records, photo_batches
from glr_keras.evaluation.evaluating import evaluate_split
from glr_keras.evaluation.sources import Evaluated
from glr_keras.export import export
from glr_keras.features import extraction
from glr_keras.features.extraction import features_key
from glr_keras.fit import finetuning_config
from glr_keras.inference.landmark_model import load
from glr_keras.inference.loading import stored_views
from glr_keras.models.abn import ABN
from glr_keras.models.attention import answer_with_map
from glr_keras.models.backbones import build_backbone
from glr_keras.models.finetuned import FineTunedHead
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import build_model
from glr_keras.training import train as train_module
from glr_keras.training.finetuning import load_base
from glr_keras.training.train import train
from tfrecords.common.console import UserError

SMALL = SMALL_TRUNK | {"finetune_after": "block2_pool", "epochs": 2}


def config_of(**settings):
    return FitConfig(**SMALL | settings)


def train_steps(config, recognizer, steps=1):
    features, head = recognizer.backbone(PHOTOS), recognizer.head
    compile_model(head, config, steps_per_epoch=1)
    for _ in range(steps):
        head.train_on_batch(features, dict.fromkeys(head.branches, LABELS))


def test_both_branches_and_the_map_see_what_comes_out_of_the_trunk():
    recognizer = build_model(config_of(), 3)
    head = recognizer.head
    assert isinstance(head, FineTunedHead)
    assert recognizer.backbone.output_shape == (None, 8, 8, 128)
    features = recognizer.backbone(PHOTOS)
    seen = head.trunk(features)
    assert seen.shape == (4, 4, 4, 256)
    outputs, inner = head(features), head.inner(seen)
    for branch in ("attention", "perception"):
        np.testing.assert_array_equal(outputs[branch], inner[branch])
    assert answer_with_map(head, features)[1].shape == (4, 4, 4)


def test_untrained_it_answers_as_the_whole_network_does():
    whole = build_model(config_of(finetune_after=""), 3)
    tuned = build_model(config_of(), 3)
    np.testing.assert_allclose(tuned.probabilities(PHOTOS), whole.probabilities(PHOTOS), rtol=1e-5)


MOBILENET = {"backbone": "mobilenet_v2", "cut_layer": "block_3_project_BN"}
MOBILENET |= {"finetune_after": "block_2"}


@pytest.mark.parametrize(
    "settings", [{"head": "abn"}, {"head": "dropout"}, {"head": "linear"}, MOBILENET]
)
def test_joined_it_answers_the_same_and_loads_as_it_was_saved(settings, tmp_path):
    config = config_of(**settings)
    recognizer = build_model(config, 3)
    train_steps(config, recognizer)
    before = np.asarray(recognizer.probabilities(PHOTOS))
    joined = recognizer.joined()
    np.testing.assert_array_equal(joined.probabilities(PHOTOS), before)
    assert joined.backbone.output_shape[1:] == recognizer.head.trunk.output_shape[1:]
    assert not joined.backbone.trainable_variables
    assert joined.joined() is joined
    joined.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.probabilities(PHOTOS), before)


def test_several_depths_stand_side_by_side_behind_the_layer():
    config = config_of(cut_layer="", feature_layers="block2_pool,block3_pool")
    recognizer = build_model(config, 3)
    assert recognizer.backbone.output_shape == (None, 8, 8, 128)
    assert recognizer.head.trunk.output_shape == (None, 4, 4, 128 + 256)


def test_stored_features_are_those_of_the_layer_whatever_comes_behind(demo_data):
    records = open_records(demo_data)
    keys = [
        features_key(records, "test", "hash", config)
        for config in (
            config_of(),
            config_of(cut_layer="", feature_layers="block2_pool,block3_pool"),
            config_of(finetune_after="", branch_layer="block2_pool"),
            config_of(finetune_after="", cut_layer="block2_pool"),
        )
    ]
    assert keys == [keys[0]] * 4


@pytest.fixture(scope="module")
def run(demo_data, tmp_path_factory):
    """A complete run, its metrics and its config."""
    folder = tmp_path_factory.mktemp("finetuned")
    places = {"data_dir": str(demo_data), "features_dir": str(folder / "features")}
    config = config_of(run_dir=str(folder / "run"), **places, views=2)
    return folder / "run", train(config), config


def test_a_run_is_evaluated_on_features_of_its_own(run, demo_data):
    path, metrics, _ = run
    records, evaluated = open_records(demo_data), Evaluated(path)
    assert evaluated.stored_views(records, "test").shape == (4, 4, 256)
    assert list(evaluated.stored_views(records, "train").files) == [0]
    assert isinstance(load(path).recognizer.head, ABN)
    again = evaluate_split(evaluated, records, "test").as_dict(accept=0.95)
    assert again["outputs"]["answer"]["accuracy"] == metrics["test"]["accuracy"]
    assert load(path).explain(PHOTOS[0]).attention_map.shape == (4, 4)


def test_these_features_are_what_its_backbone_makes_of_the_photos(run, demo_data):
    path, *_ = run
    records, evaluated = open_records(demo_data), Evaluated(path)
    (file,) = evaluated.stored_views(records, "test").files.values()
    (batch,) = photo_batches(records, "test", 32, "whole", 3).take(1)
    features = load(path).recognizer.backbone(batch["photo"])
    np.testing.assert_allclose(file.rows([0, 1, 2]), features, rtol=2e-3, atol=2e-3)


def test_suspects_are_found_on_features_that_no_label_has_touched(run, demo_data):
    path, *_ = run
    views = stored_views(path, load(path).recognizer, open_records(demo_data), "test", frozen=True)
    assert views.shape == (8, 8, 128)


def test_a_list_of_features_shows_which_ones_are_fine_tuned(run):
    _, _, config = run
    keys = [json.loads(path.read_text()) for path in config.features_path.glob("*/manifest.json")]
    assert sorted(key.get("finetuned_after", "") for key in keys) == [""] * 3 + ["block2_pool"] * 3


def test_room_for_them_is_looked_for_before_training(run, tmp_path, monkeypatch):
    _, _, config = run
    usage = shutil.disk_usage(tmp_path)._replace(free=extraction.SPARE_BYTES + 400_000)
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="No room for the features: 50 views of photos x 4 x 4"):
        train(dataclasses.replace(config, run_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run" / "history.csv").exists()


def test_a_run_that_was_stopped_before_its_own_features_ends_the_same(run, tmp_path, monkeypatch):
    _, metrics, config = run
    features = str(tmp_path / "features")
    config = dataclasses.replace(config, run_dir=str(tmp_path / "run"), features_dir=features)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "finetuned_views", stop)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    shutil.rmtree(features)
    again = train(config)
    assert {**again, "data": ""} == {**metrics, "data": ""}


def test_a_live_run_learns_too(run, tmp_path):
    _, _, config = run
    live = train(dataclasses.replace(config, live=True, run_dir=str(tmp_path / "live")))
    assert live["test"]["photos"] == 10
    assert load(tmp_path / "live").explain(PHOTOS[0]).attention_map.shape == (4, 4)


@pytest.mark.slow  # 20 s; `export` itself compares its answers with the run's
def test_it_is_exported_like_any_run(run, demo_data, tmp_path):
    path, *_ = run
    export(path, tmp_path / "export", demo_data, "float32", 256)
    places = path, tmp_path / "export"
    expected, found = (load(place).predict(PHOTOS[0]) for place in places)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_its_backbone_can_be_trained_on(run):
    path, *_ = run
    config = finetuning_config({"finetune_from": str(path)}, None)
    assert config.finetune_after == ""
    base = load(path).recognizer
    recognizer, _ = load_base(dataclasses.replace(config, precision="float32"), base.landmarks)
    np.testing.assert_allclose(
        recognizer.probabilities(PHOTOS), base.probabilities(PHOTOS), rtol=1e-5
    )
    assert recognizer.backbone.trainable_variables
    whole = build_backbone(config_of(finetune_after=""))
    assert [v.shape for v in recognizer.backbone.weights] == [v.shape for v in whole.weights]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branch_layer": "a"}, "--finetune-after and --branch-layer exclude each other"),
        ({"head": "logistic"}, "--head logistic is fitted to features as they are"),
        ({"finetune_from": "RUN", "trainable_blocks": 1}, "leave one out"),
        ({"frozen_epochs": 15}, "--frozen-epochs must be below --epochs 15, got 15"),
    ],
)
def test_flags_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FitConfig(finetune_after="block4_pool", **settings)


def test_a_layer_that_is_none_lists_the_blocks():
    with pytest.raises(UserError, match=r"--finetune-after block9: vgg16 has no such block"):
        build_model(config_of(finetune_after="block9"), 3)


def test_a_layer_that_the_depths_of_features_exclude_is_named_with_the_way_out():
    config = config_of(
        cut_layer="", feature_layers="block2_pool,block3_pool", finetune_after="block3_conv1"
    )
    message = "not a single tensor there.*block2, or a layer.*--feature-layers '' takes the last"
    with pytest.raises(UserError, match=message):
        build_model(config, 3)
    build_model(dataclasses.replace(config, feature_layers="", cut_layer="block3_pool"), 3)


def test_flattened_features_have_one_depth():
    assert new_config({"finetune_after": "block4_pool", "pooling": "flatten"}).feature_layers == ""
