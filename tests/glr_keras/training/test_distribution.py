"""Two devices of one machine give what one gives; here, two logical ones of the processor."""

import json
import subprocess
import sys

import keras
import pytest
import tensorflow as tf
from paths import REPOSITORY

from glr_keras.config import FitConfig
from glr_keras.training.distribution import check_batch_size, make_strategy, synchronize_norms
from tfrecords.common.console import UserError

# Runs twice, on one device and on two, in a process of its own: devices are settled once.
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from glr_keras.training.batches import StoredFeatures
from glr_keras.config import FitConfig
from glr_keras.training.distribution import make_strategy
from glr_keras.features.view_files import ViewFile
from glr_keras.features.store import FeatureViews
from glr_keras.models.recognizer import Recognizer; from glr_keras.models.heads import build_head
from glr_keras.runs.run_dir import RunDir
from glr_keras.training.loop import fit_recognizer

folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
train_photos, validation_photos = settings.pop("photos")
random = np.random.default_rng(0)
views = {}
for split, photos, view in (("train", train_photos, 0), ("validation", validation_photos, None)):
    labels = random.integers(0, 3, photos)
    (folder / split).mkdir()
    file = ViewFile(folder / split / "view.npy", (photos, 2, 2, 4))
    file.write_block(0, random.normal(size=file.shape) + labels.reshape(-1, 1, 1, 1))
    views[split] = FeatureViews(split, {view: file}, labels, list(map(str, range(photos))))

config = FitConfig(
    head_units=(8,), attention_channels=4, dropout=0.0, views=1, batch_size=4, epochs=2,
    learning_rate=0.01, precision="float32", **settings,
)
photos = keras.Input((4, 4, 4))
backbone = keras.Model(photos, keras.layers.AveragePooling2D(2)(photos))
backbone.trainable = False
found = {}
for name in ("none", "mirrored"):
    one = dataclasses.replace(config, distribute=name)
    strategy = make_strategy(name)
    trunk = None
    if one.finetune_after:
        keras.utils.set_random_seed(0)
        maps = keras.Input((2, 2, 4))
        # Without bias: batch norm takes it away, and Adam would step after what rounding leaves.
        convolution = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)
        trunk = keras.Model(maps, convolution(maps))
    recognizer = Recognizer(backbone, build_head(one, 3, (2, 2, 4), trunk), ["a", "b", "c"])
    recognizer.build(backbone.input_shape)
    source = StoredFeatures(views, recognizer.branches, 3, one, devices=2)
    run = RunDir(folder / name)
    with run.claim(one):
        state = fit_recognizer(recognizer, source, strategy, one, run)
        run.save_model(recognizer)
    weights = [np.asarray(w, "float64").ravel().tolist() for w in recognizer.head.get_weights()]
    found[name] = [strategy.num_replicas_in_sync, state.history, weights]
(folder / "found.json").write_text(json.dumps(found))
"""


def test_one_device_is_tensorflow_s_own_strategy():
    assert make_strategy("none") is tf.distribute.get_strategy()


def test_mirrored_takes_every_device():
    assert make_strategy("mirrored").num_replicas_in_sync == 1  # of the processor, in this process


def test_norms_are_synchronized_at_any_depth():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.BatchNormalization()])
    synchronize_norms(model)
    assert inner.layers[0].synchronized
    assert model.layers[1].synchronized


def test_a_batch_that_devices_cannot_share_is_refused():
    check_batch_size(FitConfig(batch_size=32), devices=4)
    with pytest.raises(UserError, match="3 devices can't share a batch of 32 evenly"):
        check_batch_size(FitConfig(batch_size=32), devices=3)


def train_both(folder, **settings):
    command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(settings)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((folder / "found.json").read_text())
    (one, history, weights), (two, mirrored, mirrored_weights) = found["none"], found["mirrored"]
    assert (one, two) == (1, 2)
    return history, mirrored, weights, mirrored_weights


def assert_same_training(history, mirrored, weights, others):
    """Up to rounding, which differs: variance is E[x^2] - E[x]^2 where it is taken over devices.

    A photo too many, or gradients added up where they should be averaged, would move them far more.
    """
    for row, other in zip(history, mirrored, strict=True):
        assert other == pytest.approx(row, rel=1e-5)  # 4.2e-6 at most when this was written
    for values, expected in zip(others, weights, strict=True):
        assert values == pytest.approx(expected, abs=2e-4)  # 3.6e-5 at most


@pytest.mark.slow  # a minute: all is traced twice, for two devices
def test_two_devices_give_the_losses_and_weights_of_one(tmp_path):
    assert_same_training(*train_both(tmp_path, photos=(30, 12)))
    model = keras.saving.load_model(tmp_path / "mirrored" / "model.keras")
    layers = model._flatten_layers()
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 4  # of features, attention branch, map and pooled features
    assert not any(norm.synchronized for norm in norms)


@pytest.mark.slow
def test_two_devices_fine_tune_as_one_does(tmp_path):
    settings = {"finetune_after": "x", "trunk_learning_rate": 0.5}
    assert_same_training(*train_both(tmp_path, photos=(30, 12), **settings))


@pytest.mark.slow
@pytest.mark.parametrize("photos", [(29, 12), (31, 11), (30, 11)])
def test_two_devices_give_the_losses_of_one_when_the_photos_can_t_be_halved(photos, tmp_path):
    assert_same_training(*train_both(tmp_path, photos=photos))
