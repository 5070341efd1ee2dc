"""The main job, end to end, on small photos."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import glr_keras
from glr_keras import training
from glr_keras.backbones import WeightsUnreachableError
from glr_keras.config import FitConfig
from glr_keras.data import open_records, photo_batches
from glr_keras.training import train
from tfrecords.console import UserError

SMALL = {
    "weights": "random",
    "image_size": 32,
    "head_units": (16,),
    "attention_channels": 8,
    "normalize": True,
    "batch_size": 6,  # divides 30: Keras averages the losses of branches per batch
}
SHARED = Path(__file__).parents[2] / "shared"


def small_config(data_dir, run_dir, **settings):
    return FitConfig(data_dir=str(data_dir), run_dir=str(run_dir), **(SMALL | settings))


@pytest.fixture(scope="module")
def abn_run(demo_data, tmp_path_factory):
    """A complete run of an ABN, and what `train` returned."""
    run_dir = tmp_path_factory.mktemp("run") / "abn"
    return run_dir, train(small_config(demo_data, run_dir))


def read_history(run_dir):
    with open(run_dir / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_complete(abn_run, demo_data):
    run_dir, metrics = abn_run
    files = {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()}
    names = ("config.json", "environment.json", "labels.txt", "history.csv", "model.keras")
    figures = ("training_curves", "class_histogram", "attention_grid", "confusion_matrix")
    expected = {*names, "metrics.json", *(f"figures/{name}.png" for name in figures)}
    assert expected == {name for name in files if not name.startswith("logs/")}
    assert any(name.startswith("logs/train/events") for name in files)
    assert json.loads((run_dir / "metrics.json").read_text()) == metrics
    assert len((run_dir / "labels.txt").read_text().splitlines()) == 10


def test_metrics_tell_data_weights_and_both_branches_on_both_splits(abn_run, demo_data):
    _, metrics = abn_run
    assert metrics["data"] == str(demo_data)
    assert (metrics["weights"], metrics["head"], metrics["landmarks"]) == ("random", "abn", 10)
    for split in ("validation", "test"):
        assert metrics[split]["photos"] == 10
        for output in ("attention", "perception"):
            assert 0 <= metrics[split][f"{output}_accuracy"] <= 1
            accuracy, top5 = (
                metrics[split][f"{output}_{m}"] for m in ("accuracy", "top5_accuracy")
            )
            assert accuracy <= top5
        assert len(metrics[split]["per_landmark"]) == 10


def test_history_has_a_row_per_epoch_with_both_branches(abn_run):
    rows = read_history(abn_run[0])
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        parts = 0.25 * float(row["attention_loss"]) + float(row["perception_loss"])
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-4)
        assert {"val_perception_accuracy", "val_attention_top5"} <= set(row)


def test_the_saved_model_takes_photos_and_says_what_was_measured(abn_run, demo_data):
    run_dir, metrics = abn_run
    model = keras.saving.load_model(run_dir / "model.keras")
    assert isinstance(model, glr_keras.Recognizer)
    config = FitConfig(image_size=32)
    right = 0
    for batch in photo_batches(open_records(demo_data), "test", None, config, 4):
        logits = model(batch["photo"])["perception"].numpy()
        right += (logits.argmax(1) == batch["label"].numpy()).sum()
    assert right / 10 == pytest.approx(metrics["test"]["perception_accuracy"])
    assert model.landmarks == (run_dir / "labels.txt").read_text().splitlines()


def test_the_model_is_that_of_the_best_epoch(abn_run):
    run_dir, metrics = abn_run
    scores = [float(row["val_perception_accuracy"]) for row in read_history(run_dir)]
    assert metrics["best_epoch"] == 1 + scores.index(max(scores))
    assert metrics["validation"]["perception_accuracy"] == pytest.approx(max(scores))


def test_a_dropout_head_trains_on_the_same_features(abn_run, demo_data, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "predict_on_batch", None)  # the backbone must not be called
    metrics = train(small_config(demo_data, tmp_path / "run", head="dropout"))
    assert "attention_accuracy" not in metrics["test"]
    assert (tmp_path / "run" / "figures" / "attention_grid.png").exists()
    assert {"perception_loss", "val_perception_top5"} <= set(read_history(tmp_path / "run")[0])


def weights_of(run_dir):
    return keras.saving.load_model(run_dir / "model.keras").get_weights()


def assert_same_run(run_dir, other):
    for name in ("history.csv", "metrics.json", "labels.txt"):
        assert (run_dir / name).read_bytes() == (other / name).read_bytes(), name
    for weights, expected in zip(weights_of(run_dir), weights_of(other), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_the_same_seed_gives_the_same_run_bit_for_bit(abn_run, demo_data, tmp_path):
    train(small_config(demo_data, tmp_path / "again"))
    assert_same_run(tmp_path / "again", abn_run[0])


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_a_run_interrupted_between_epochs_ends_the_same(
    abn_run, demo_data, tmp_path, monkeypatch, interrupted_after
):
    save_row = training.StateKeeper.on_epoch_end

    def save_and_stop(self, epoch, logs=None):
        save_row(self, epoch, logs)
        if epoch + 1 == interrupted_after:
            raise KeyboardInterrupt

    config = small_config(demo_data, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training.StateKeeper, "on_epoch_end", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert not (tmp_path / "run" / "metrics.json").exists()
    train(config)
    assert_same_run(tmp_path / "run", abn_run[0])


def fit_command(demo_data, run_dir, *flags):
    small = ("--weights", "random", "--image-size", "32", "--head-units", "16", "--normalize")
    channels = ("--attention-channels", "8", "--batch-size", "6", "--views", "3")
    place = ("--data-dir", demo_data, "--run-dir", run_dir)
    return [sys.executable, "-m", "glr_keras.fit", *map(str, (*place, *small, *channels, *flags))]


def test_a_killed_process_ends_the_same_after_the_same_command(demo_data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = fit_command(demo_data, killed, "--epochs", "20")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (killed / "checkpoint" / "state.json").exists():
            assert process.poll() is None, "ended before its first checkpoint"
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "metrics.json").exists()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Going on after epoch" in result.stdout
    config = small_config(demo_data, whole, views=3, epochs=20)
    train(config)
    assert_same_run(killed, whole)


def test_a_complete_run_is_told_not_trained_again(abn_run, demo_data):
    run_dir, metrics = abn_run
    before = (run_dir / "model.keras").stat().st_mtime_ns
    command = (sys.executable, "-m", "glr_keras.fit", "--config", str(run_dir / "config.json"))
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is complete already" in result.stdout
    assert f"Test accuracy {metrics['test']['perception_accuracy']:.1%}" in result.stdout
    assert (run_dir / "model.keras").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data-dir", "nowhere"], "Build them first with: python -m tfrecords.build"),
        (["--data-dir", "DATA", "--weights", "nowhere.h5"], "expected imagenet, random or a file"),
        (["--data-dir", "DATA", "--epochs", "0"], "--epochs must be between 1 and 100000, got 0."),
        (["--head", "transformer"], "invalid choice: 'transformer'"),
        (["--config", "nowhere.json"], "No file nowhere.json"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    run_python, demo_data, tmp_path, flags, message
):
    flags = [str(demo_data) if flag == "DATA" else flag for flag in flags]
    result = run_python("-m", "glr_keras.fit", "--run-dir", tmp_path / "run", *flags)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def unreachable(config):
    if config.weights == "imagenet":
        raise WeightsUnreachableError("no network")
    return build(config)


build = training.build_backbone


def test_random_weights_stand_in_for_the_demo_only_and_cannot_be_missed(
    demo_data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(training, "build_backbone", unreachable)
    config = small_config(demo_data, tmp_path / "run", weights="imagenet")
    with pytest.raises(WeightsUnreachableError):
        train(config)
    metrics = train(config, is_demo=True)
    assert "RANDOM weights" in capsys.readouterr().err
    assert metrics["weights"] == "random"
    assert metrics["warning"].startswith("WARNING: vgg16 runs on RANDOM weights")
    assert metrics["data"].startswith("demo")


def test_other_weights_on_resume_are_refused(demo_data, tmp_path):
    config = small_config(demo_data, tmp_path / "run", seed=4)
    train(config)
    (tmp_path / "run" / "metrics.json").unlink()
    path = tmp_path / "run" / "environment.json"
    path.write_text(path.read_text().replace('"backbone_weights": "', '"backbone_weights": "0'))
    with pytest.raises(UserError, match="started with other backbone weights"):
        train(config)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_is_the_weight_of_the_attention_loss(demo_data, tmp_path, alpha):
    train(small_config(demo_data, tmp_path / "run", alpha=alpha, epochs=1))
    row = read_history(tmp_path / "run")[0]
    parts = alpha * float(row["attention_loss"]) + float(row["perception_loss"])
    assert float(row["loss"]) == pytest.approx(parts, rel=1e-4)


@pytest.mark.slow
def test_the_demo_reaches_90_percent(run_python, tmp_path):
    repository = Path(glr_keras.__file__).parents[1]
    command = [sys.executable, "-m", "glr_keras.fit"]
    environment = {"PYTHONPATH": str(repository), "PATH": "", "HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=900)
    metrics = json.loads((tmp_path / "runs" / "demo" / "metrics.json").read_text())
    assert metrics["test"]["perception_accuracy"] >= 0.9


@pytest.fixture(scope="module")
def real_data(tmp_path_factory):
    """Records of real photos, where they are at hand."""
    from tfrecords.build import BuildOptions, build

    if not (SHARED / "landmarks27").is_dir():
        pytest.skip(f"needs real photos in {SHARED / 'landmarks27'}")
    folder = tmp_path_factory.mktemp("real") / "data"
    build(BuildOptions(photos=SHARED / "landmarks27", out=folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("head", ["dropout", "abn"])
def test_real_photos_are_recognised_with_imagenet_weights(real_data, tmp_path, head):
    weights = next(SHARED.glob("weights/mobilenet_v2*.h5"), None)
    if weights is None:
        pytest.skip(f"needs ImageNet's weights of MobileNetV2 in {SHARED / 'weights'}")
    config = FitConfig(
        data_dir=str(real_data),
        run_dir=str(tmp_path / "run"),
        backbone="mobilenet_v2",
        weights=str(weights),
        head=head,
        head_units=(512,),
        attention_channels=128,
        views=1,
    )
    assert train(config)["test"]["perception_accuracy"] > 0.75
