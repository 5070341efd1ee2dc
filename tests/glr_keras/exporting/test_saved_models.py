"""What an export consists of, needs nothing of this project, and is loaded unchanged only."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import glr_keras
from glr_keras.exporting.saved_models import describe, write_export
from glr_keras.inference.loading import load_recognizer
from glr_keras.inference.saved_model import open_export
from tfrecords.common.console import UserError


@pytest.fixture
def copy(small_export, tmp_path):
    """A copy of the export, to be harmed."""
    return shutil.copytree(small_export, tmp_path / "out")


def test_an_export_that_was_truncated_is_refused(copy):
    (copy / "1" / "variables" / "variables.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 can't be loaded: variables/variables.index is not the"):
        open_export(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "format 1, expected 4"),
        ({"surprise": 1}, "unexpected keyword argument 'surprise'"),
    ],
)
def test_an_export_of_another_version_is_refused(copy, change, message):
    path = copy / "1" / "assets.extra" / "glr_keras.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(
        UserError, match=rf"can't be loaded: .*{message}\nIt is damaged, or of anot"
    ):
        open_export(copy)


def test_weights_of_another_run_in_the_place_of_its_own_are_noticed(copy, small_run, tmp_path):
    recognizer = load_recognizer(small_run)
    for variable in recognizer.head.trainable_variables:
        variable.assign(variable + 1)
    write_export(recognizer, describe(recognizer, 256, "float32"), tmp_path / "other")
    name = "variables/variables.data-00000-of-00001"
    shutil.copy(tmp_path / "other" / name, copy / "1" / name)
    with pytest.raises(UserError, match=rf"{name} is not the file that was exported \(SHA-256"):
        open_export(copy)


@pytest.mark.parametrize("name", ["a*b? [v2] back\\slash"])
def test_a_path_with_wildcards_is_a_path(copy, small_exported_model, demo_photos, tmp_path, name):
    shutil.move(copy, tmp_path / name)
    found = glr_keras.load(tmp_path / name).predict(demo_photos[0])
    expected = small_exported_model.predict(demo_photos[0])
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_the_next_command_is_quoted_for_the_shell(copy, tmp_path):
    shutil.move(copy, tmp_path / "my models")
    (tmp_path / "my models" / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(UserError, match=r"glr_keras.export RUN --out '.*/my models'$"):
        open_export(tmp_path / "my models")


PLAIN_CLIENT = """
import json, sys
import tensorflow as tf
assert not any(name.split(".")[0] in ("glr_keras", "tfrecords") for name in sys.modules)
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open(path, "rb").read() for path in sys.argv[2:]]))
landmarks = [[name.decode() for name in row] for row in answer["landmarks"].numpy()]
print(json.dumps({"scores": answer["scores"].numpy().tolist(), "landmarks": landmarks}))
"""


@pytest.mark.slow
def test_it_runs_in_an_environment_with_only_tensorflow(
    small_export, small_exported_model, demo_photos, tmp_path, monkeypatch
):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # that would show it this project
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", f"tensorflow=={tf.__version__}"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a package index: {done.stderr.strip().splitlines()[-1]}")
    found = subprocess.run([python, "-c", "import glr_keras"], cwd=tmp_path, check=False)
    assert found.returncode == 1
    (tmp_path / "client.py").write_text(PLAIN_CLIENT)
    command = [python, "client.py", small_export / "1", *demo_photos[:3]]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(result.stdout)
    expected = small_exported_model.predict(demo_photos[:3])
    assert answer["landmarks"] == [prediction.landmarks for prediction in expected]
    np.testing.assert_allclose(answer["scores"], [p.scores for p in expected], atol=1e-5)


@pytest.mark.slow
def test_it_runs_through_saved_model_cli_which_is_a_session_as_in_a_server(
    small_export, small_exported_model, demo_photos, tmp_path
):
    tool = Path(sys.executable).with_name("saved_model_cli")
    command = [tool, "run", "--dir", small_export / "1", "--tag_set", "serve"]
    command += ["--signature_def", "serving_default", "--outdir", tmp_path, "--inputs"]
    files = [photo.read_bytes() for photo in demo_photos[:2]]
    np.save(tmp_path / "good.npy", files)
    np.save(tmp_path / "bad.npy", [*files, b"x"])
    good = f"image_bytes={tmp_path / 'good.npy'}"
    subprocess.run([*command, good], check=True, capture_output=True)
    expected = small_exported_model.predict(demo_photos[:2])
    scores = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(scores, [p.scores for p in expected], atol=1e-5)
    failing = [*command, f"image_bytes={tmp_path / 'bad.npy'}", "--overwrite"]
    done = subprocess.run(failing, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "glr_keras.predict reads them:] [2]" in done.stderr
