"""An export says what its run says, needs nothing of this project, and is whole or not there."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import glr_keras
from glr_keras.config import read_json
from glr_keras.data.records import open_records
from glr_keras.export import check_out, export, judge
from glr_keras.inference import verification as export_check
from glr_keras.inference.loading import load_recognizer
from glr_keras.inference.saved_model import describe, open_export, write_export
from glr_keras.inference.verification import Findings, examine, read_test_photos
from tfrecords.common.console import UserError


def serve(folder):
    return tf.saved_model.load(folder / "1").signatures["serving_default"]


def test_the_folder_is_laid_out_for_tensorflow_serving(small_export, small_run):
    files = {p.relative_to(small_export).as_posix() for p in small_export.rglob("*") if p.is_file()}
    assert {"1/saved_model.pb", "1/variables/variables.index"} <= files
    labels = small_export / "1" / "assets.extra" / "labels.txt"
    assert labels.read_bytes() == (small_run / "labels.txt").read_bytes()
    description = json.loads((labels.parent / "glr_keras.json").read_text())
    assert description == {
        "image_size": 32,
        "short_side": 256,
        "precision": "float32",
        "backbone": "vgg16",
        "head": "ABN",
        "format": 2,
    }
    assert sorted(tf.saved_model.load(small_export / "1").signatures) == [
        "features",
        "pixels",
        "scores",
        "serving_default",
    ]


def test_what_was_written_says_what_the_run_s_metrics_say(small_export, small_run, demo_data):
    photos, labels = read_test_photos(open_records(demo_data), 100)
    answer = serve(small_export)(image_bytes=tf.constant(photos))
    right = (answer["probabilities"].numpy().argmax(1) == labels).mean()
    metrics = json.loads((small_run / "metrics.json").read_text())
    assert right == pytest.approx(metrics["test"]["perception_accuracy"])
    assert right > 0.2  # ten landmarks: it has learned something


def test_size_load_time_speed_and_differences_are_printed(small_export):
    said = small_export.with_suffix(".txt").read_text()
    for text in (
        "vgg16, ABN, weights in float32",
        "MB of it in block2_conv2/kernel",
        "  load  ",
        "  one photo  ",
        "  batch of 32  ",
        "on 10 test photos: probabilities differ by at most ",
        "the same landmark first on 10",
        "of these, Keras ",
    ):
        assert text in said


def test_half_precision_halves_the_weights_and_says_what_keras_says_with_them(
    small_run, small_export, demo_data, tmp_path
):
    recognizer = load_recognizer(small_run)
    write_export(recognizer, describe(recognizer, 256, "float16"), tmp_path / "half")
    found = examine(tmp_path / "half", recognizer, open_records(demo_data), "float16", 100)
    variables = "1/variables/variables.data-00000-of-00001"
    sizes = [(folder / variables).stat().st_size for folder in (tmp_path / "half", small_export)]
    assert sizes[0] < 0.52 * sizes[1]
    assert found.largest_size == 2 * 3 * 3 * 128 * 128
    assert found.photos == 10
    assert max(found.error) < 1e-5 < max(found.rounding) < 0.05


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


FOUND = Findings(
    1, "kernel", 1, 1.0, {1: 1.0, 32: 1.0}, 100, (1e-6, 1e-6), (0.01, 0.01), 99, 0.9, 0.9
)


def changed(**values):
    return Findings(**(vars(FOUND) | values))


def test_an_export_that_differs_from_keras_is_refused(small_run):
    abn = describe(load_recognizer(small_run), 256, "bfloat16")
    dropout = type(abn)(**(vars(abn) | {"head": "DropoutHead"}))
    judge(FOUND, abn)
    judge(changed(accuracy=0.8951), abn)
    judge(changed(error=(1e-6, 0.5)), dropout)  # Grad-CAM is a quotient of small numbers
    for found in (changed(error=(1.1e-4, 0)), changed(error=(float("nan"), 0))):
        with pytest.raises(UserError, match=r"differs from Keras by .*more than 1e-04: it was"):
            judge(found, dropout)
    with pytest.raises(UserError, match=r"differs from Keras by 2.0e-04"):
        judge(changed(error=(0, 2e-4)), abn)
    with pytest.raises(UserError, match=r"--precision bfloat16 costs 0.6% of accuracy, more than"):
        judge(changed(accuracy=0.894), abn)


def test_a_refused_export_leaves_what_was_there_and_a_good_one_replaces_it(
    small_export, small_run, demo_data, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    shutil.copytree(small_export, out)
    with pytest.raises(UserError, match=r"out exists. Name another --out, or .* --overwrite"):
        check_out(out, overwrite=False)
    check_out(out, overwrite=True)
    before = (out / "1" / "saved_model.pb").stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(export_check, "examine", lambda *_: changed(error=(1, 1)))
        with pytest.raises(UserError, match="differs from Keras"):
            export(small_run, out, demo_data, "float32", 4)
    assert (out / "1" / "saved_model.pb").stat().st_ino == before
    (tmp_path / "out.part").mkdir()  # as a killed one leaves it
    export(small_run, out, demo_data, "bfloat16", 4)
    assert open_export(out).description.precision == "bfloat16"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_other_folders_are_never_overwritten(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match="exists and is no export, so it is not replaced"):
        check_out(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="exists and is no export"):
        check_out(tmp_path / "photo.jpg", overwrite=True)
    check_out(tmp_path / "new", overwrite=False)


def test_records_of_other_landmarks_are_refused(small_run, demo_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(demo_data, data, ignore=shutil.ignore_patterns("features"))
    labels = data / "label.labels.txt"
    labels.write_text(labels.read_text().replace("twin", "three"))
    with pytest.raises(UserError, match=r"holds other landmarks than .*run has learned"):
        export(small_run, tmp_path / "out", data, "float32", 4)
    assert not (tmp_path / "out").exists()


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


def test_an_export_that_was_cut_short_is_refused(small_export, tmp_path):
    shutil.copytree(small_export, tmp_path / "out")
    (tmp_path / "out" / "1" / "variables" / "variables.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"out can't be loaded: .*\nIt is damaged, or of another"):
        open_export(tmp_path / "out")
    description = tmp_path / "out" / "1" / "assets.extra" / "glr_keras.json"
    description.write_text(description.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(UserError, match="can't be loaded: format 1, expected 2"):
        open_export(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--out", "EXPORT"], "exists. Name another --out, or replace it with --overwrite."),
        (["RUN", "--out", "RUN", "--overwrite"], "is no export, so it is not replaced."),
        (["nowhere", "--out", "OUT"], "No folder nowhere. Train with: python -m glr_keras.fit"),
        (["DATA", "--out", "OUT"], "is no run: it has no config.json."),
        (["UNFINISHED", "--out", "OUT"], "Finish it with: python -m glr_keras.fit --config"),
        (["RUN", "--out", "OUT", "--data-dir", "none"], "No records in none. An export is tested"),
        (["RUN", "--out", "OUT", "--precision", "int8"], "invalid choice: 'int8'"),
        (["RUN", "--out", "OUT", "--test-photos", "0"], "--test-photos must be at least 1, got 0"),
        (["RUN"], "the following arguments are required: --out"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    run_python, small_run, small_export, demo_data, tmp_path, arguments, message
):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(small_run, unfinished, ignore=shutil.ignore_patterns("metrics.json"))
    places = {"RUN": small_run, "EXPORT": small_export, "DATA": demo_data}
    places |= {"OUT": tmp_path / "out", "UNFINISHED": unfinished}
    result = run_python("-m", "glr_keras.export", *(places.get(one, one) for one in arguments))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_under_its_name(small_run, demo_data, tmp_path):
    command = [sys.executable, "-m", "glr_keras.export", small_run, "--out", tmp_path / "out"]
    for seconds in (0.02, 0.5, 2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while not (tmp_path / "out.part").exists():
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        assert not (tmp_path / "out").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


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
def test_it_runs_in_an_environment_with_only_tensorflow(small_export, demo_photos, tmp_path):
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
    expected = glr_keras.load(small_export).predict(demo_photos[:3])
    assert answer["landmarks"] == [prediction.landmarks for prediction in expected]
    np.testing.assert_allclose(answer["scores"], [p.scores for p in expected], atol=1e-5)


@pytest.mark.slow
def test_it_runs_through_saved_model_cli_which_is_a_session_as_in_a_server(
    small_export, demo_photos, tmp_path
):
    tool = Path(sys.executable).with_name("saved_model_cli")
    command = [tool, "run", "--dir", small_export / "1", "--tag_set", "serve"]
    command += ["--signature_def", "serving_default", "--outdir", tmp_path, "--inputs"]
    files = [photo.read_bytes() for photo in demo_photos[:2]]
    np.save(tmp_path / "good.npy", files)
    np.save(tmp_path / "bad.npy", [*files, b"x"])
    good = f"image_bytes={tmp_path / 'good.npy'}"
    subprocess.run([*command, good], check=True, capture_output=True)
    expected = glr_keras.load(small_export).predict(demo_photos[:2])
    scores = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(scores, [p.scores for p in expected], atol=1e-5)
    failing = [*command, f"image_bytes={tmp_path / 'bad.npy'}", "--overwrite"]
    done = subprocess.run(failing, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "do not decode as JPEG, PNG, WebP, GIF or BMP:] [2]" in done.stderr
