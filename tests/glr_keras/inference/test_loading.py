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
from glr_keras.inference.loading import load_recognizer
from tfrecords.common.console import UserError


def test_a_backbone_in_bfloat16_is_exported_to_compute_in_float32(small_run, tmp_path):
    config = read_json(small_run / "config.json")
    config = dataclasses.replace(config, head="dropout", precision="bfloat16")
    before = glr_keras.build_model(config, 10)
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    before.save(run / "model.keras")
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
