"""A keras.json, a backend or a policy of another project changes nothing, or is named."""

import json
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from paths import PYTHONPATH, REPOSITORY

import glr_keras
from glr_keras.inference.loading import load_recognizer
from glr_keras.models.keras_settings import standard_settings

CONFIG = glr_keras.FitConfig(weights="random", image_size=32, cut_layer="block1_pool")
OTHER = {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}


@pytest.fixture
def others_settings():
    """The settings of another project, in this process."""
    before = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy()
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_image_data_format(before[1])
    keras.config.set_dtype_policy(before[2])


def test_a_program_keeps_its_settings(others_settings):
    with standard_settings():
        layer = keras.layers.Conv2D(1, 1)
    assert (layer.dtype_policy.name, layer.data_format) == ("float32", "channels_last")
    assert keras.config.floatx() == "float16"
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_a_model_is_built_and_loaded_without_them(small_run, small_model, others_settings):
    photos = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    built = glr_keras.build_model(CONFIG, 3)
    assert built(photos)["perception"].dtype == "float32"
    found = load_recognizer(small_run)(photos)["perception"]
    with standard_settings():
        expected = small_model.recognizer(photos)["perception"]
    np.testing.assert_array_equal(found, expected)


def run_with(keras_home, *arguments, **variables):
    (keras_home / "keras.json").write_text(json.dumps(OTHER | {"backend": "jax"}))
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {"KERAS_HOME": str(keras_home), "PYTHONPATH": PYTHONPATH} | variables
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_commands_answer_the_same(small_run, small_model, demo_photos, tmp_path):
    arguments = ["-m", "glr_keras.predict", small_run, demo_photos[0], "--format", "jsonl"]
    done = run_with(tmp_path, *arguments, KERAS_BACKEND="torch")
    scores = [one["score"] for one in json.loads(done.stdout)["landmarks"]]
    expected = small_model.predict(demo_photos[0]).scores
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    note = "KERAS_BACKEND=torch is ignored: this command computes with TensorFlow."
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
    assert lines.pop(0) == note
    assert [line for line in lines if "photos [" not in line] == []  # nothing of TensorFlow


def test_the_library_names_a_backend_that_it_cannot_use(tmp_path):
    code = "import glr_keras; glr_keras.ABN"  # imports less than `load` before Keras
    done = run_with(tmp_path, "-c", code, KERAS_BACKEND="jax")
    assert done.returncode == 1
    assert "Set KERAS_BACKEND=tensorflow before Keras is imported." in done.stderr


@pytest.mark.slow
def test_training_under_them_gives_the_same_weights(demo_data, tmp_path):
    flags = ["-m", "glr_keras.fit", "--data-dir", demo_data, "--weights", "random"]
    flags += ["--image-size", 32, "--cut-layer", "block1_pool", "--head-units", 8]
    flags += ["--attention-channels", 8, "--epochs", 1, "--views", 1, "--precision", "float32"]
    results = []
    for number, variables in enumerate(({}, {"KERAS_HOME": os.environ["KERAS_HOME"]})):
        run = tmp_path / str(number)
        done = run_with(tmp_path, *flags, "--run-dir", run, **variables)
        assert done.returncode == 0, done.stderr
        results.append(load_recognizer(run).get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_building_a_model_leaves_the_program_s_random_numbers(capfd):
    def draw():
        return random.random(), np.random.random(), float(tf.random.uniform([]))

    def seed():
        random.seed(1)
        np.random.seed(1)
        tf.random.set_seed(1)

    seed()
    expected = draw()
    seed()
    glr_keras.build_model(CONFIG, 3)
    assert draw() == expected
    assert capfd.readouterr() == ("", "")
