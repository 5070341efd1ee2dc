"""The command: what is typed, what is told, and how it ends."""

import dataclasses
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import REPOSITORY, SHARED

import glr_keras
from glr_keras.config import DEMO, FitConfig, from_flags, new_config, to_json
from glr_keras.fit import build_demo, names_demo, parse_config
from glr_keras.training.train import train
from tfrecords.common.console import UserError

METRICS = {
    "demo": False,
    "data": "data/x",
    "backbone": "vgg16",
    "weights": "random",
    "landmarks": 10,
    "epochs": 3,
    "best_epoch": 2,
    "validation": {"perception_accuracy": 0.75},
    "test": {"perception_accuracy": 0.625, "perception_top5_accuracy": 1.0, "photos": 8},
}


def complete_run(folder, **settings):
    """A run directory with the files that the command reads."""
    config = FitConfig(data_dir="data/x", run_dir=str(folder), **settings)
    folder.mkdir()
    (folder / "config.json").write_text(to_json(config))
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    return config


def test_a_complete_run_is_reported_not_trained_again(run_python, tmp_path):
    complete_run(tmp_path / "run")
    done = run_python("-m", "glr_keras.fit", "--config", tmp_path / "run" / "config.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path / 'run'} is complete already; delete it to train again." in done.stdout
    assert "Data: data/x. Weights of vgg16: random." in done.stdout
    assert "Test accuracy 62.5% (5 of 8 photos, 10 landmarks), top 5 100.0%" in done.stdout
    assert "validation 75.0%; best epoch 2 of 3" in done.stdout


def test_a_complete_run_of_other_settings_is_refused(run_python, tmp_path):
    complete_run(tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    done = run_python("-m", "glr_keras.fit", "--config", path, "--alpha", "0.5")
    assert done.returncode == 2
    assert "holds a run of another config: alpha was 0.25, now 0.5." in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs must be between 1 and 100000, got 0."),
        (["--head", "transformer"], "invalid choice: 'transformer'"),
        (["--config", "nowhere.json"], "No file nowhere.json"),
        (["--finetune-from", "nowhere"], "No file nowhere/config.json"),
        (["--optimizer", "adamw"], "--optimizer adamw is adam until --weight-decay is set"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(run_python, tmp_path, flags, message):
    done = run_python("-m", "glr_keras.fit", "--run-dir", tmp_path / "run", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_ctrl_c_prints_the_command_that_goes_on(monkeypatch, capsys):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("glr_keras.training.train.train", interrupt)
    flags = [
        "--data-dir",
        "my data",
        "--epochs",
        "7",
    ]  # a name that a shell must be given in quotes
    monkeypatch.setattr(sys, "argv", ["fit", *flags])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("glr_keras.fit", run_name="__main__")
    assert ended.value.code == 130
    command = "python -m glr_keras.fit --data-dir 'my data' --epochs 7"
    said = capsys.readouterr().err
    assert said.endswith(f"\nInterrupted. It resumes where it stopped with: {command}\n")


@pytest.mark.slow
def test_ctrl_c_ends_a_training_cleanly(records, tmp_path):
    folder = tmp_path / "a run"  # a name that a shell must be given in quotes
    flags = ["--data-dir", str(records.data_dir), "--run-dir", str(folder), "--weights", "random"]
    flags += ["--image-size", "32", "--precision", "float32", "--head-units", "8", "--views", "1"]
    flags += ["--head", "dropout", "--epochs", "100000", "--cut-layer", "block2_pool"]
    process = subprocess.Popen(
        [sys.executable, "-m", "glr_keras.fit", *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        for line in process.stdout:
            if line.startswith("Epoch 3/"):
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    command = shlex.join(["python", "-m", "glr_keras.fit", *flags])
    assert said.endswith(f"\nInterrupted. It resumes where it stopped with: {command}\n")
    assert f"--run-dir '{folder}'" in command


def test_the_demo_is_drawn_once(tmp_path):
    records_in(tmp_path / "demo", {})
    build_demo(tmp_path / "demo")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def records_in(folder, manifest):
    """A folder with a manifest of records and nothing else."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_demo_is_known_by_its_manifest_not_by_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records_in(tmp_path / "elsewhere", {"demo": True})
    demo = from_flags(DEMO, FitConfig())
    for place in ("elsewhere", str(tmp_path / "elsewhere")):
        assert parse_config(["--data-dir", place]) == dataclasses.replace(demo, data_dir=place)
    assert names_demo("")  # to be drawn
    assert names_demo("data/demo")
    records_in(tmp_path / "data" / "demo", {"demo": True})
    assert names_demo("data/demo")
    assert names_demo(str(tmp_path / "data" / "demo"))


def test_own_photos_in_the_demo_s_place_are_not_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records_in(tmp_path / "data" / "demo", {})
    assert parse_config(["--data-dir", "data/demo"]) == new_config({"data_dir": "data/demo"})
    with pytest.raises(UserError, match=r"data/demo holds records that are not the built-in demo"):
        parse_config([])


def test_a_complete_run_of_other_records_is_refused(run_python, tmp_path):
    complete_run(tmp_path / "run")
    (tmp_path / "run" / "environment.json").write_text('{"records": "0123"}')
    records_in(tmp_path / "other", {"shards": []})
    path = tmp_path / "run" / "config.json"
    done = run_python("-m", "glr_keras.fit", "--config", path, "--data-dir", tmp_path / "other")
    assert done.returncode == 2
    assert "was started with other records" in done.stderr


def test_a_checkpoint_that_a_kill_left_in_a_complete_run_is_deleted(run_python, tmp_path):
    complete_run(tmp_path / "run")
    (tmp_path / "run" / "checkpoint").mkdir()
    (tmp_path / "run" / "checkpoint" / "state.json").write_text("{}")
    done = run_python("-m", "glr_keras.fit", "--config", tmp_path / "run" / "config.json")
    assert done.returncode == 0
    assert not (tmp_path / "run" / "checkpoint").exists()


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
