"""Photos are added to a run: the new run equals one of all the photos from nothing."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from commands import command_runner
from plain_config import plain_config

from glr_keras import add as add_module
from glr_keras.add import next_name
from glr_keras.config import read_json, to_json
from glr_keras.training import train as training
from tfrecords.build import BuildOptions, build

SMALL = {"weights": "random", "image_size": 32, "cut_layer": "block2_pool", "head": "linear"}
SMALL |= {"pooling": "average", "head_units": (), "batch_size": 6, "epochs": 2, "views": 1}
SMALL |= {"precision": "float32"}


@pytest.fixture(scope="module")
def landmarks(demo_photos):
    return sorted({path.parent for path in demo_photos})


@pytest.fixture(scope="module")
def base(landmarks, tmp_path_factory):
    """A run on 4 landmarks, and a folder with photos of a fifth."""
    folder = tmp_path_factory.mktemp("base")
    for landmark in landmarks[:5]:
        name = "photos" if landmark != landmarks[2] else "new"
        shutil.copytree(landmark, folder / name / landmark.name)
    build(BuildOptions(photos=folder / "photos", out=folder / "data" / "mine"))
    config = plain_config(data_dir=str(folder / "data" / "mine"), **SMALL)
    train_without_pictures(dataclasses.replace(config, run_dir=str(folder / "runs" / "mine")))
    return folder


def train_without_pictures(config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_figures", lambda *_: None)
        patch.setattr(training, "write_run_report", lambda *_: None)
        return training.train(config)


@pytest.fixture
def run(monkeypatch, capfd, base):
    return command_runner("glr_keras.add", add_module.main, monkeypatch, capfd, base)


def files(folder):
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".verified", ".png")
    }


def test_a_landmark_is_added_as_if_all_had_come_together(run, base, landmarks, tmp_path):
    before = files(base / "runs" / "mine"), files(base / "data" / "mine")
    code, said, errors = run("runs/mine", "--photos", "new")
    assert code == 0, errors
    assert "Features to compute: 25 views of photos" in said
    assert "20 of them were computed for other records and are copied." in said
    assert f"Records: {base / 'data' / 'mine-2'}. runs/mine and " in said
    assert (files(base / "runs" / "mine"), files(base / "data" / "mine")) == before
    photos = tmp_path / "photos"
    for landmark in landmarks[:5]:
        shutil.copytree(landmark, photos / landmark.name)
    build(BuildOptions(photos=photos, out=tmp_path / "nothing" / "data"))
    config = read_json(base / "runs" / "mine" / "config.json")
    nothing = {"data_dir": str(tmp_path / "nothing" / "data"), "run_dir": str(tmp_path / "run")}
    expected = train_without_pictures(dataclasses.replace(config, **nothing))
    added = json.loads((base / "runs" / "mine-2" / "metrics.json").read_text())
    assert added | {"data": ""} == json.loads(json.dumps(expected | {"data": ""}))
    weights = [
        keras.saving.load_model(run_dir / "model.keras").get_weights()
        for run_dir in (base / "runs" / "mine-2", tmp_path / "run")
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    code, said, errors = run("runs/mine", "--photos", "new")  # again
    assert code == 0, errors
    assert "data/mine-2 holds these photos already." in said
    assert "runs/mine-2 is complete already" in said


def test_bad_input_ends_with_one_message_and_nothing_made(run, base, tmp_path):
    config = read_json(base / "runs" / "mine" / "config.json")
    for name, changed in {
        "moved": {"data_dir": str(tmp_path / "gone")},
        "tuned": {"finetune_from": "runs/mine", "trainable_blocks": 1},
    }.items():
        (tmp_path / name).mkdir()
        text = to_json(dataclasses.replace(config, **changed))
        (tmp_path / name / "config.json").write_text(text)
    (tmp_path / "none").mkdir()
    other = shutil.copytree(base / "data" / "mine", tmp_path / "data")
    manifest = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(manifest.replace('"sha256": "', '"sha256": "0'))
    files_before = set(base.rglob("*"))
    for arguments, message in [
        (["runs/none", "--photos", "new"], "No file runs/none/config.json"),
        (["runs/mine", "--photos", tmp_path / "none"], "holds no photos"),
        ([tmp_path / "moved", "--photos", "new"], f"No landmark records in {tmp_path / 'gone'}"),
        ([tmp_path / "tuned", "--photos", "new"], "was fine-tuned from runs/mine. Add the photos"),
        (["runs/mine", "--photos", "new", "--data-dir", other], "are not those that runs/mine"),
        (["runs/mine", "--photos", "new", "--out", "photos"], "photos exists"),
        (["runs/mine", "--photos", "new", "--run-dir", "photos"], "photos is not empty and hol"),
        (["runs/mine", "--photos", "photos", "--out", "x"], "nothing to add"),
    ]:
        with pytest.raises(ValueError, match=message.replace("/", "[/]")):
            run(*arguments)
    assert set(base.rglob("*")) == files_before


def test_names_count_up(tmp_path):
    names = {"mine": "mine-2", "mine-2": "mine-3", "a-b": "a-b-2", "27": "27-2", "x-9": "x-10"}
    assert {name: next_name(tmp_path / name).name for name in names} == names
