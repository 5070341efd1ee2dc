"""Runs and exports of an earlier version open and return what they returned then."""

import json
import tarfile

import keras
import numpy as np
import pytest
from paths import REPOSITORY
from PIL import Image

import glr_keras
from glr_keras.data.views import eval_view
from glr_keras.export import export
from tfrecords.common.console import UserError


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The unpacked folder: runs `abn` and `dropout`, `abn-export`, `photo.png`, `expected.json`."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(REPOSITORY / "tests" / "fixtures" / "runs_f32add9.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected(old):
    return json.loads((old / "expected.json").read_text())


@pytest.mark.parametrize(
    ("path", "run"), [("abn", "abn"), ("dropout", "dropout"), ("abn-export", "abn")]
)
def test_an_old_run_and_an_old_export_give_their_old_answers(old, expected, path, run):
    model = glr_keras.load(old / path)
    explanation = model.explain(old / "photo.png")
    assert (explanation.is_landmark, explanation.p_value) == (None, None)
    probabilities = expected[run]["probabilities"]
    np.testing.assert_allclose(explanation.probabilities, probabilities, atol=1e-4)
    np.testing.assert_allclose(
        model.embed(old / "photo.png"), expected[run]["embedding"], rtol=1e-3
    )
    if run == "abn":
        np.testing.assert_allclose(
            explanation.attention_map, expected[run]["attention_map"], atol=1e-4
        )


@pytest.mark.parametrize("path", ["abn", "abn-export"])
def test_an_old_model_that_is_asked_to_reject_says_that_it_can_t(old, path):
    with pytest.raises(UserError, match="can't tell its landmarks from other places"):
        glr_keras.load(old / path, accept=0.9)


# bfloat16 has 8 binary digits, and processors without it round elsewhere.
@pytest.mark.parametrize(("run", "tolerance"), [("abn", 1e-4), ("dropout", 0.05)])
def test_keras_opens_an_old_model_file(old, expected, run, tolerance):
    model = keras.saving.load_model(old / run / "model.keras")
    view = eval_view(np.asarray(Image.open(old / "photo.png")), 32, "center")[None]
    outputs = model(view)
    assert set(outputs) == set(expected[run]["logits"])
    for name, logits in expected[run]["logits"].items():
        np.testing.assert_allclose(outputs[name][0], logits, atol=tolerance)


@pytest.mark.slow
def test_an_old_run_is_exported(old, expected, demo_data, tmp_path):
    export(old / "abn", tmp_path / "out", demo_data, "float32", 4)
    probabilities = glr_keras.load(tmp_path / "out").predict(old / "photo.png").probabilities
    np.testing.assert_allclose(probabilities, expected["abn"]["probabilities"], atol=1e-4)
