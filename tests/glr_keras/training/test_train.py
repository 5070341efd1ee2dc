"""Whole runs on small photos: what they leave, and what they need not do again."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from small_runs import small_config

import glr_keras
from glr_keras.config import OBJECTIVE
from glr_keras.data.records import open_records, photo_batches
from glr_keras.models.backbones import WeightsUnreachableError
from glr_keras.runs.context import RunContext
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training import checkpoint
from glr_keras.training import train as training
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.train import describe_run, load_networks, train
from tfrecords.common.console import UserError

build = training.build_networks


def read_history(run_dir):
    with open(run_dir / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def metrics(small_run):
    return json.loads((small_run / "metrics.json").read_text())


def test_a_run_is_complete(small_run):
    files = {p.relative_to(small_run).as_posix() for p in small_run.rglob("*") if p.is_file()}
    names = ("config.json", "environment.json", "labels.txt", "history.csv", "model.keras", ".lock")
    figures = ("training_curves", "class_histogram", "attention_grid", "confusion_matrix")
    names += ("test_predictions.csv", "report.html", "rejection.safetensors")
    expected = {*names, "metrics.json", *(f"figures/{name}.png" for name in figures)}
    assert expected == {name for name in files if not name.startswith("logs/")}
    assert any(name.startswith("logs/train/events") for name in files)
    assert len((small_run / "labels.txt").read_text().splitlines()) == 10


def test_metrics_tell_data_weights_and_both_branches_on_both_splits(metrics, demo_data):
    assert metrics["data"] == str(demo_data)
    assert (metrics["weights"], metrics["head"], metrics["landmarks"]) == ("random", "abn", 10)
    for split in ("validation", "test"):
        assert metrics[split]["photos"] == 10
        for output in ("attention", "perception"):
            top1, top5 = (metrics[split][f"{output}_{m}"] for m in ("accuracy", "top5_accuracy"))
            assert 0 <= top1 <= top5 <= 1
        assert len(metrics[split]["per_landmark"]) == 10


def test_history_has_a_row_per_epoch_with_both_branches(small_run):
    rows = read_history(small_run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    for row in rows:
        parts = 0.25 * float(row["attention_loss"]) + float(row["perception_loss"])
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-4)
        assert {"val_perception_accuracy", "val_attention_top5"} <= set(row)


def test_the_saved_model_takes_photos_and_says_what_was_measured(small_run, metrics, demo_data):
    model = keras.saving.load_model(small_run / "model.keras")
    assert isinstance(model, glr_keras.Recognizer)
    right = 0
    for batch in photo_batches(open_records(demo_data), "test", 32, "whole", 4):
        logits = model(batch["photo"])["perception"].numpy()
        right += (logits.argmax(1) == batch["label"].numpy()).sum()
    assert right / 10 == pytest.approx(metrics["test"]["perception_accuracy"])
    assert model.landmarks == (small_run / "labels.txt").read_text().splitlines()


def test_the_model_is_that_of_the_best_epoch(small_run, metrics):
    history = read_history(small_run)
    scores = [(float(row[OBJECTIVE]), -float(row["val_cross_entropy"])) for row in history]
    assert metrics["best_epoch"] == 1 + scores.index(max(scores))
    assert metrics["validation"]["accuracy"] == pytest.approx(max(scores)[0])


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs draw no figures and write no report: for them the backbone explains test photos."""
    monkeypatch.setattr(training, "draw_figures", lambda *_: None)
    monkeypatch.setattr(training, "write_run_report", lambda *_: None)


@pytest.fixture
def no_backbone_call(no_pictures, monkeypatch):
    """Counts the batches that a backbone is called with, in any way; one fails the test."""
    calls = []

    def build_counting(config):
        backbone, trunk = build(config)
        call, predict = backbone.call, backbone.predict_on_batch

        def count(do):
            return lambda *arguments, **settings: calls.append(do) or do(*arguments, **settings)

        backbone.call, backbone.predict_on_batch = count(call), count(predict)
        return backbone, trunk

    monkeypatch.setattr(training, "build_networks", build_counting)
    yield
    assert calls == []


def test_another_head_rate_and_number_of_epochs_call_no_backbone(
    small_run, demo_data, tmp_path, no_backbone_call, capsys
):
    changed = {"head": "dropout", "learning_rate": 0.1, "epochs": 1, "beta": 0.5}
    metrics = train(small_config(demo_data, tmp_path / "run", **changed))
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "Features to compute" not in capsys.readouterr().out
    assert "attention_accuracy" not in metrics["test"]
    row = read_history(tmp_path / "run")[0]
    assert {"perception_loss", "val_perception_top5"} <= set(row)
    assert float(row["loss"]) == pytest.approx(0.5 * float(row["perception_loss"]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"alpha": 1.0},
        {"beta": 0.5},
        {"head_units": (), "normalize": False},
        {"learning_rate": 0.1, "optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
        {"epochs": 5, "batch_size": 4, "patience": 1},
        {"balance": 1.0, "label_smoothing": 0.1, "ema": 0.9, "clip_norm": 1.0},
    ],
)
def test_another_setting_of_the_head_calls_no_backbone(
    changed, small_run, demo_data, tmp_path, no_backbone_call, capsys
):
    train(small_config(demo_data, tmp_path / "run", **changed))
    assert "Features to compute" not in capsys.readouterr().out


def weights_of(run_dir):
    return keras.saving.load_model(run_dir / "model.keras").get_weights()


def assert_same_run(run_dir, other):
    for name in ("history.csv", "metrics.json", "labels.txt"):
        assert (run_dir / name).read_bytes() == (other / name).read_bytes(), name
    for weights, expected in zip(weights_of(run_dir), weights_of(other), strict=True):
        np.testing.assert_array_equal(weights, expected)


def interrupt_after(steps, monkeypatch):
    """Ctrl-C after so many steps, each of which was saved."""
    monkeypatch.setattr(checkpoint, "MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "TRAINING_PER_SAVING", 0)
    end_step = Checkpoint.on_train_batch_end

    def end_step_and_stop(self, batch, logs=None):
        end_step(self, batch, logs)
        if self.state.step == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "on_train_batch_end", end_step_and_stop)


@pytest.mark.slow  # training alone: test_checkpoint
def test_a_run_interrupted_in_an_epoch_ends_the_same_bit_for_bit(
    small_run, demo_data, tmp_path, no_pictures, monkeypatch
):
    config = small_config(demo_data, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert not (tmp_path / "run" / "metrics.json").exists()
    train(config)
    assert_same_run(tmp_path / "run", small_run)


@pytest.mark.slow  # the same batches: test_batches; live training: test_finetuning
def test_live_training_differs_by_the_rounding_of_features_only(
    small_run, demo_data, tmp_path, no_pictures
):
    train(small_config(demo_data, tmp_path / "live", live=True))
    rows, stored = read_history(tmp_path / "live"), read_history(small_run)
    for row, expected in zip(rows, stored, strict=True):
        for name, value in expected.items():
            if name.endswith(("loss", "entropy")):
                assert float(row[name]) == pytest.approx(float(value), rel=2e-3), name
            else:
                # One photo of ten may stand on the edge.
                assert float(row[name]) == pytest.approx(float(value), abs=0.101), name


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg16", "mobilenet_v2"])
def test_live_training_of_a_whole_backbone_differs_by_rounding_only(backbone, demo_data, tmp_path):
    settings = {"backbone": backbone, "cut_layer": "", "dropout": 0.0}
    for live in (False, True):
        train(small_config(demo_data, tmp_path / str(live), live=live, **settings))
    pairs = zip(read_history(tmp_path / "True"), read_history(tmp_path / "False"), strict=True)
    for row, expected in pairs:
        for name in ("loss", "val_loss"):
            assert float(row[name]) == pytest.approx(float(expected[name]), rel=2e-3), name


def unreachable(config):
    if config.weights == "imagenet":
        raise WeightsUnreachableError("no network")
    return build(config)


def test_random_weights_stand_in_for_the_demo_only_and_cannot_be_missed(
    demo_data, monkeypatch, capsys
):
    monkeypatch.setattr(training, "build_networks", unreachable)
    config = small_config(demo_data, "run", weights="imagenet")
    with pytest.raises(WeightsUnreachableError):
        load_networks(config, fall_back=False)
    *_, warning = load_networks(config, fall_back=True)
    assert "RANDOM weights" in capsys.readouterr().err
    assert warning.startswith("WARNING: vgg16 runs on RANDOM weights")
    records = open_records(demo_data)
    records = dataclasses.replace(records, manifest=records.manifest | {"demo": True})
    context = RunContext(config, records, RunDir(Path("run")), None, warning)
    metrics = describe_run(context, TrainingState())
    assert (metrics["weights"], metrics["warning"]) == ("random", warning)
    assert metrics["data"].startswith("demo")
    context = dataclasses.replace(context, warning="")
    assert "warning" not in describe_run(context, TrainingState())


@pytest.fixture
def unfinished(small_run, demo_data, tmp_path):
    """A copy of the run that is not complete, and its config."""
    run_dir = tmp_path / "run"
    shutil.copytree(small_run, run_dir)
    (run_dir / "metrics.json").unlink()
    return run_dir, small_config(demo_data, run_dir)


@pytest.mark.parametrize(
    ("name", "said"), [("backbone_weights", "backbone weights"), ("records", "records")]
)
def test_other_weights_or_records_on_resume_are_refused(unfinished, name, said):
    run_dir, config = unfinished
    path = run_dir / "environment.json"
    path.write_text(path.read_text().replace(f'"{name}": "', f'"{name}": "0'))
    with pytest.raises(UserError, match=f"started with other {said}, so it can't be resumed"):
        train(config)


def test_a_run_that_is_in_use_is_refused(unfinished):
    run_dir, config = unfinished
    with (
        RunDir(run_dir).locked(),
        pytest.raises(UserError, match="Another process is at work in"),
    ):
        train(config)


def test_a_mistake_in_the_flags_leaves_no_directory_behind(demo_data, tmp_path):
    config = small_config(demo_data, tmp_path / "run", weights="nowhere.h5")
    with pytest.raises(UserError, match="expected imagenet, random or a file"):
        train(config)
    config = small_config(tmp_path / "nowhere", tmp_path / "run")
    with pytest.raises(UserError, match=r"Build them first with: python -m tfrecords\.build"):
        train(config)
    assert not (tmp_path / "run").exists()
