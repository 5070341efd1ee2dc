"""An export answers as its run does, and is there completely or not at all."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from paths import PYTHONPATH

import glr_keras
from glr_keras.data.records import open_records
from glr_keras.export import export
from glr_keras.exporting.comparing import Comparison
from glr_keras.exporting.verification import VerificationReport, read_test_photos
from glr_keras.inference.saved_model import open_export
from glr_keras.runs.metrics import log_softmax
from tfrecords.common.console import UserError

DESCRIPTION = "assets.extra/glr_keras.json"


def serve(folder):
    return tf.saved_model.load(folder / "1").signatures["serving_default"]


def test_the_folder_is_laid_out_for_tensorflow_serving(small_export, small_run):
    files = {p.relative_to(small_export).as_posix() for p in small_export.rglob("*") if p.is_file()}
    assert {"1/saved_model.pb", "1/variables/variables.index"} <= files
    labels = small_export / "1" / "assets.extra" / "labels.txt"
    assert labels.read_bytes() == (small_run / "labels.txt").read_bytes()
    description = json.loads((labels.parent / "glr_keras.json").read_text())
    hashed = {name.removeprefix("1/") for name in files if "assets" not in name}
    assert set(description.pop("sha256")) == hashed - {".lock", "fingerprint.pb", "MODEL_CARD.md"}
    rejection = json.loads((small_run / "metrics.json").read_text())["rejection"]
    settings = ("score", "temperature", "photos", "accept", "other_train_photos")
    assert description.pop("rejection") == {name: rejection[name] for name in settings}
    assert description == {
        "image_size": 32,
        "short_side": 256,
        "precision": "float32",
        "backbone": "vgg16",
        "head": "ABN",
        "framing": "whole",
        "format": 4,
        "tta": "none",
        "temperature": rejection["temperature"],
    }
    assert sorted(tf.saved_model.load(small_export / "1").signatures) == [
        "features",
        "pixels",
        "scores",
        "serving_default",
    ]


def test_what_was_written_says_what_the_run_s_metrics_say(small_export, small_run, demo_data):
    photos, labels = read_test_photos(open_records(demo_data), 100)
    probabilities = serve(small_export)(image_bytes=tf.constant(photos))["probabilities"].numpy()
    accuracy = (probabilities.argmax(1) == labels).mean()
    metrics = json.loads((small_run / "metrics.json").read_text())
    assert accuracy == pytest.approx(metrics["test"]["accuracy"])
    assert len(set(probabilities.argmax(1))) > 2  # it tells photos apart
    temperature = metrics["rejection"]["temperature"]
    own = log_softmax(temperature * np.log(probabilities))  # before the temperature
    losses = -own[np.arange(len(labels)), labels]
    assert losses.mean() == pytest.approx(metrics["test"]["loss"], abs=0.03)


def test_size_load_time_speed_and_differences_are_printed(small_export):
    said = small_export.with_suffix(".txt").read_text()
    for text in (
        "vgg16, ABN, weights in float32",
        "B of it in block2_conv2/kernel",
        "  load  ",
        "  one photo  ",
        "  batch of 32  ",
        "on 10 test photos: probabilities differ by at most ",
        "the same landmark first on 10",
        "of these, Keras ",
    ):
        assert text in said


def test_a_new_export_is_a_new_version_and_overwrite_deletes_the_latest(
    small_export, small_run, demo_data, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    shutil.copytree(small_export, out)
    mine = tmp_path / "out.old"
    mine.mkdir()
    before = (out / "1" / "saved_model.pb").stat()
    stand_in_for_writing(small_export / "1", monkeypatch)
    assert export(small_run, out, demo_data, "bfloat16", 4, accept=0.8) == out / "2"
    assert described(out / "2") == ("bfloat16", 0.8)
    assert export(small_run, out, demo_data, "float32", 4, overwrite=True) == out / "3"
    assert described(out / "3") == ("float32", 0.95)
    assert names(out) == ["1", "3"]
    assert (out / "1" / "saved_model.pb").stat() == before
    assert mine.is_dir()


def stand_in_for_writing(version, monkeypatch):
    """Exports have the graph of `version` from here on: to trace and verify one takes seconds."""

    def copy(recognizer, description, folder, rejector):
        shutil.copytree(version, folder, dirs_exist_ok=True)
        (folder / DESCRIPTION).write_text(json.dumps(dataclasses.asdict(description)))

    comparison = Comparison("1", 1, 1.0, {1: 1.0, 32: 1.0}, 0.0, 0.0, 10, 0.9)
    report = VerificationReport(comparison, (0.0, 0.0), 0.9, 10, "kernel", 1)
    monkeypatch.setattr("glr_keras.exporting.saved_models.write_export", copy)
    monkeypatch.setattr("glr_keras.exporting.verification.verify_export", lambda *_: report)


def described(version):
    """Returns precision and accepted fraction of a version."""
    description = json.loads((version / DESCRIPTION).read_text())
    return description["precision"], description["rejection"]["accept"]


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.slow
def test_a_refused_export_leaves_what_was_there(
    small_export, small_run, demo_data, tmp_path, monkeypatch
):
    def refuse(*_):
        raise UserError("refused")

    monkeypatch.setattr("glr_keras.exporting.verification.check_tolerance", refuse)
    shutil.copytree(small_export, tmp_path / "out")
    for out in ("out", "new"):
        with pytest.raises(UserError, match="refused"):
            export(small_run, tmp_path / out, demo_data, "float32", 4, overwrite=True)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["1"]
    open_export(tmp_path / "out")


def test_records_of_other_landmarks_are_refused(small_run, demo_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(demo_data, data, ignore=shutil.ignore_patterns("features"))
    labels = data / "label.labels.txt"
    labels.write_text(labels.read_text().replace("twin", "three"))
    with pytest.raises(UserError, match=r"holds other landmarks than .*run has learned"):
        export(small_run, tmp_path / "out", data, "float32", 4)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--out", "EXPORT/1"], "1 is one SavedModel, not a folder of versions."),
        (["RUN", "--out", "RUN", "--overwrite"], "exists and is no export. Name another --out."),
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
    places = {"RUN": small_run, "EXPORT/1": small_export / "1", "DATA": demo_data}
    places |= {"OUT": tmp_path / "out", "UNFINISHED": unfinished}
    result = run_python("-m", "glr_keras.export", *(places.get(one, one) for one in arguments))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]


KILLED = """
import os, signal, sys
import tensorflow as tf
from glr_keras import export
from glr_keras.exporting import saved_models, verification

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

moment = {
    "before the graph": (tf.saved_model, "save"),
    "before the description": (saved_models, "hash_files"),
    "before the verification": (verification, "verify_export"),
    "before it has its number": (export, "publish"),
    "before the old one goes": (export, "delete_version"),
}[sys.argv.pop()]
setattr(*moment, kill)
export.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "complete"),
    [
        ("before the graph", ["1"]),
        ("before the description", ["1"]),
        ("before the verification", ["1"]),
        ("before it has its number", ["1"]),
        ("before the old one goes", ["1", "2"]),
    ],
)
def test_an_export_killed_at_any_moment_leaves_versions_that_work(
    small_run, small_export, demo_data, demo_photos, tmp_path, moment, complete
):
    out = tmp_path / "out"
    shutil.copytree(small_export, out)
    arguments = [small_run, "--out", out, "--data-dir", demo_data, "--overwrite", moment]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    command = [sys.executable, "-c", KILLED, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(out) == complete
    for name in complete:
        glr_keras.load(out / name).predict(demo_photos[0])
    export(small_run, out, demo_data, "float32", 4)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".lock"]
