"""The recogniser of a run computes in float32, and comes from an unchanged file only."""

import dataclasses
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

import glr_keras
from glr_keras.config import read_json
from glr_keras.inference.loading import load_recognizer, short_side_of
from glr_keras.models.backbones import hash_weights
from glr_keras.models.plain_heads import DropoutHead
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError


def replace_model(run, model):
    """Gives a run another model, as if it had ended with that."""
    model.save(run / "model.keras")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["weights_sha256"] = hash_weights(model)
    (run / "metrics.json").write_text(json.dumps(metrics))


def test_weights_of_the_same_shapes_in_their_place_are_noticed(small_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    recognizer = load_recognizer(run)
    weights = recognizer.get_weights()
    weights[-1] = np.nextafter(weights[-1], 1)
    recognizer.set_weights(weights)
    recognizer.save(run / "model.keras")
    with pytest.raises(UserError, match=r"model.keras has other weights than this run ended with"):
        glr_keras.load(run)


def test_a_backbone_in_bfloat16_is_exported_to_compute_in_float32(small_run, tmp_path):
    config = read_json(small_run / "config.json")
    config = dataclasses.replace(config, head="dropout", precision="bfloat16")
    before = glr_keras.build_model(config, 10)
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    replace_model(run, before)
    recognizer = load_recognizer(run)
    assert {layer.compute_dtype for layer in recognizer._flatten_layers()} == {"float32"}
    for weights, same in zip(recognizer.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)
    photos = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    features, rounded = recognizer.backbone(photos), before.backbone(photos)
    assert 0 < np.abs(features - rounded).max() < 0.1 * np.abs(features).max()


def copy_run(run, target, **changes):
    """Copies a run; rewrites members of its model file."""
    shutil.copytree(run, target)
    with zipfile.ZipFile(run / "model.keras") as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(target / "model.keras", "w") as file:
        for name, content in members.items():
            file.writestr(name, changes.get(name.split(".")[0], lambda same: same)(content))
    return target


def with_lambda(config):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x * 2)])
    values = json.loads(config)
    values["config"]["backbone"] = keras.saving.serialize_keras_object(model)
    return json.dumps(values).encode()


def with_code_of_the_system(config):
    values = json.loads(config)
    values["config"]["backbone"] = {
        "module": "os",
        "class_name": "system",
        "config": "touch tampered",
        "registered_name": None,
    }
    return json.dumps(values).encode()


def of_another_class(config):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    return json.dumps(keras.saving.serialize_keras_object(model)).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"config": with_lambda},
        {"config": with_code_of_the_system},
        {"config": of_another_class},
        {"config": lambda config: config[:-100]},
        {"model": lambda weights: weights[: len(weights) // 2]},
        {"model": lambda weights: b"\x80\x04cos\nsystem\n."},
    ],
)
def test_a_model_file_that_was_changed_is_refused(small_run, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    run = copy_run(small_run, tmp_path / "run", **changes)
    with pytest.raises(UserError, match=r"can't be loaded: .*\nIt is damaged, or was changed"):
        load_recognizer(run)
    assert not (tmp_path / "tampered").exists()


def test_a_model_file_that_is_no_archive_is_refused(small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "model.keras").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(UserError, match=r"model.keras can't be loaded: "):
        load_recognizer(tmp_path / "run")


def recognizer_with_normalization(precision):
    """Its `Normalization` holds mean and variance in the precision that it was built in."""
    keras.utils.set_random_seed(0)
    photos = keras.Input((32, 32, 3))
    normalized = keras.layers.Normalization(
        mean=[0.485, 0.456, 0.406], variance=[0.229, 0.224, 0.225], dtype=precision
    )(photos)
    features = keras.layers.Conv2D(4, 8, strides=8, dtype=precision)(normalized)
    features = keras.layers.Activation("linear", dtype="float32")(features)
    backbone = keras.Model(photos, features)
    recognizer = Recognizer(backbone, DropoutHead(3, head_units=()), ["a", "b", "c"])
    recognizer.build(backbone.input_shape)
    return recognizer


def test_a_run_in_bfloat16_answers_as_if_it_was_built_in_float32(small_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    trained = recognizer_with_normalization("mixed_bfloat16")
    replace_model(run, trained)
    expected = recognizer_with_normalization("float32")
    expected.set_weights(trained.get_weights())
    photos = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    loaded = load_recognizer(run)
    np.testing.assert_array_equal(loaded.backbone(photos), expected.backbone(photos))
    assert np.abs(trained.backbone(photos) - expected.backbone(photos)).max() > 0


@pytest.fixture
def run(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "run")


def set_environment(run, **values):
    """Changes environment.json; None takes a value away, as in old runs."""
    path = run / "environment.json"
    environment = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in environment.items() if v is not None}))


def write_manifest(data, demo_data, short_side):
    data.mkdir()
    manifest = json.loads((demo_data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(manifest | {"short_side": short_side}))


def test_the_short_side_is_that_of_the_run_wherever_it_is_asked_from(run, tmp_path, monkeypatch):
    set_environment(run, short_side=128)
    monkeypatch.chdir(tmp_path)
    assert short_side_of(run) == 128
    assert short_side_of(run, tmp_path / "nowhere") == 128


def test_an_old_run_takes_it_from_its_own_records_only(run, demo_data, tmp_path, capsys):
    set_environment(run, short_side=None)
    write_manifest(tmp_path / "data", demo_data, 64)
    assert short_side_of(run, tmp_path / "data") == 64
    assert capsys.readouterr().err == ""
    set_environment(run, records="of others")
    assert short_side_of(run, tmp_path / "data") == 256
    assert "warning:" in capsys.readouterr().err


def test_an_old_run_without_records_warns(run, tmp_path, capsys):
    set_environment(run, short_side=None)
    assert short_side_of(run, tmp_path / "none") == 256
    assert capsys.readouterr().err == (
        f"warning: {run} does not say to which short side its photos were scaled, and its records "
        f"are not in {tmp_path / 'none'}; photos are scaled to 256 pixels.\n"
    )
