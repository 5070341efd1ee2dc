"""A whole search, on small photos."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from search_trials import SMALL, read_csv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from glr_keras.config import read_json
from glr_keras.runs.arrays import load_arrays
from glr_keras.training.train import train
from tfrecords.common.console import UserError
from tuning import trials
from tuning.display import Progress
from tuning.process import Settings, run_search
from tuning.search import parse_flags, plan_search
from tuning.store import MAX_STARTS, SearchDir
from tuning.trial import (
    HeadHyperModel,
)
from tuning.trials import best_first, read_trials

SPACE = ("--space", "alpha,beta,learning_rate")
MEASURED = ("seconds", "seconds_building", "seconds_tracing", "seconds_training", "seconds_writing")


def plan_of(data, *flags):
    return plan_search(*parse_flags(["--data-dir", str(data), *SMALL, *flags]))[0]


def search(data, out, limit, *flags, confirm=0):
    """Runs a search in this process; returns its exit code."""
    return run_search(SearchDir(out), plan_of(data, *flags), Settings(limit, confirm))


def read_table(out):
    return read_csv(out / "trials.csv")


def without_seconds(rows):
    return [{name: row[name] for name in row if name not in MEASURED} for row in rows]


@pytest.fixture(scope="module")
def done(demo_data, tmp_path_factory):
    """A search of two trials, of which one checkpoint is kept."""
    out = tmp_path_factory.mktemp("search") / "done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "MIN_KEPT", 1)
        assert search(demo_data, out, 2, *SPACE) == 0
    return out


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Only `done` draws figures, which take longer than a trial."""
    monkeypatch.setattr("tuning.process.draw_search", lambda *_: None)
    monkeypatch.setattr("glr_keras.training.train.draw_figures", lambda *_: None)
    monkeypatch.setattr("glr_keras.training.train.write_run_report", lambda *_: None)


def test_a_table_has_every_trial(done):
    rows = read_table(done)
    assert [row["trial"] for row in rows] == ["0000", "0001"]
    for row in rows:
        assert row["status"] == "completed"
        assert {row["alpha"], row["beta"], row["learning_rate"]}.isdisjoint({""})
        epochs = [float(row[f"val_accuracy_{epoch}"]) for epoch in (1, 2)]
        assert float(row["val_accuracy"]) == max(epochs)
        assert int(row["best_epoch"]) == 1 + epochs.index(max(epochs))
        assert 0 <= float(row["val_attention_accuracy_2"]) <= 1
        parts = [float(row[name]) for name in MEASURED[1:]]
        assert float(row["seconds"]) == pytest.approx(sum(parts), abs=0.05)


def test_fit_reproduces_the_best_trial_exactly(done, demo_data, tmp_path):
    config = read_json(done / "best_config.json")
    assert config.views == 2
    assert Path(config.run_dir) == done / "best"
    metrics = train(dataclasses.replace(config, run_dir=str(tmp_path / "run")))
    best = max(read_table(done), key=lambda row: float(row["val_accuracy"]))
    trial = done / "trials" / f"trial_{best['trial']}"
    assert (tmp_path / "run" / "history.csv").read_bytes() == (trial / "history.csv").read_bytes()
    assert metrics["best_epoch"] == int(best["best_epoch"])
    reached = metrics["validation"]["accuracy"]
    assert reached == pytest.approx(float(best["val_accuracy"]), abs=1e-6)
    weights = keras.saving.load_model(tmp_path / "run" / "model.keras").head.variables
    (kept,) = trial.glob("checkpoint/best-*")
    for variable, array in zip(weights, load_arrays(kept), strict=True):
        if "seed_generator" not in variable.path:  # of dropout; a saved model begins it anew
            np.testing.assert_array_equal(array.read(), variable)


def test_checkpoints_are_kept_of_the_best_only(done, demo_data):
    ranked = best_first(read_trials(SearchDir(done), plan_of(demo_data, *SPACE)), "max")
    kept = [path.parent.name for path in done.glob("trials/*/checkpoint")]
    assert kept == [f"trial_{ranked[0].trial_id}"]


def test_the_figures_are_there(done):
    names = {path.name for path in (done / "figures").iterdir()}
    assert names == {"alpha_beta.png", "best_so_far.png", "parallel_coordinates.png"}


def hparams_of(folder):
    accumulator = EventAccumulator(str(folder)).Reload()
    contents = accumulator.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(contents).session_start_info
    return {name: value.number_value for name, value in started.hparams.items()}, accumulator


def test_tensorboard_knows_hyperparameters_and_scores(done):
    rows = read_table(done)
    for row in rows:
        hparams, accumulator = hparams_of(done / "logs" / row["trial"])
        assert hparams == {name: float(row[name]) for name in ("alpha", "beta", "learning_rate")}
        last = tf.make_ndarray(accumulator.Tensors("val_accuracy")[-1].tensor_proto)
        assert last == pytest.approx(float(row["val_accuracy"]))
    experiment = EventAccumulator(str(done / "logs")).Reload()
    contents = experiment.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(contents).experiment
    assert [info.name for info in told.hparam_infos] == ["alpha", "beta", "learning_rate"]
    assert told.metric_infos[0].name.tag == "val_accuracy"


def test_an_interrupted_search_ends_the_same(done, demo_data, tmp_path, monkeypatch):
    def interrupt(self, text):
        if text.startswith("trial 0001: epoch 1"):
            raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "predict_on_batch", None)  # nor may the backbone be called
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(demo_data, tmp_path / "out", 2, *SPACE)
    finished = tmp_path / "out" / "trials" / "trial_0000" / "result.json"
    before = finished.read_bytes()
    assert search(demo_data, tmp_path / "out", 2, *SPACE) == 0
    assert finished.read_bytes() == before
    assert without_seconds(read_table(tmp_path / "out")) == without_seconds(read_table(done))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "1"], "seed was 0, now 1"),
        (["--dropout", "0.25"], r"dropout was 0\.2, now 0\.25"),
        (["--tuner", "bayesian"], "tuner was random, now bayesian"),
        (["--objective", "val_attention_top5"], "objective was val_accuracy, now val_a"),
        (["--space", "alpha,beta"], "space of learning_rate was 0.0001 to 0.01 .log., now not"),
    ],
)
def test_another_search_in_its_place_is_refused(done, demo_data, flags, message):
    with pytest.raises(UserError, match=f"holds another search: {message}"):
        search(demo_data, done, 3, *SPACE, *flags)


def test_changed_records_are_refused(done, demo_data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out, ignore=shutil.ignore_patterns("trials", "logs"))
    plan = json.loads((out / "search.json").read_text())
    (out / "search.json").write_text(json.dumps(plan | {"records": "0" * 64}))
    with pytest.raises(UserError, match="holds another search: records were 000000000000, now "):
        search(demo_data, out, 3, *SPACE)


def test_two_processes_do_not_search_in_one_place(done, demo_data):
    with (
        SearchDir(done).locked(plan_of(demo_data, *SPACE)),
        pytest.raises(UserError, match="Another process is at work"),
    ):
        search(demo_data, done, 3, *SPACE)


def test_an_objective_that_a_head_does_not_report_is_refused(demo_data, tmp_path):
    flags = ("--space", "head,alpha", "--objective", "val_attention_accuracy")
    message = "'val_attention_accuracy'. Expected one of val_accuracy, val_cross_entropy, val_perc"
    with pytest.raises(UserError, match=message):
        search(demo_data, tmp_path / "out", 1, *flags)
    assert not (tmp_path / "out").exists()


FAILING = "learning_rate = [0.001, 100, 99, 98, 97]\n"


def fail_flags(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    flags = ("--head", "dropout", "--optimizer", "sgd", "--tuner", "grid")
    return (*flags, "--cut-layer", "", "--space-file", str(path))  # deep features break down


def test_failed_trials_are_reported_and_three_in_a_row_stop(demo_data, tmp_path, capsys):
    out = tmp_path / "out"
    assert search(demo_data, out, 5, *fail_flags(tmp_path, FAILING)) == 1
    rows = read_table(out)
    assert [row["status"] for row in rows] == ["completed", "failed", "failed", "failed"]
    assert rows[1]["reason"].startswith("Training broke down at step ")
    assert rows[1]["reason"].endswith("not a finite number")
    assert rows[1]["val_accuracy"] == ""
    printed = capsys.readouterr()
    assert "3 trials in a row failed, so the search stopped. The last: Training" in printed.err
    assert "FAILED: Training broke down" in printed.out
    assert read_json(out / "best_config.json").learning_rate == 0.001


def test_a_search_without_a_score_says_so(demo_data, tmp_path, monkeypatch, capsys):
    def break_down(*_):
        raise UserError("Training broke down.")

    monkeypatch.setattr(HeadHyperModel, "build", break_down)
    assert search(demo_data, tmp_path / "out", 2, *SPACE) == 1
    assert "No trial has a score: 2 failed. Their reasons are in" in capsys.readouterr().err
    assert not (tmp_path / "out" / "best_config.json").exists()


REFUSED = "alpha = [0.0, 0.25]\nbeta = [0.0, 1.0]\n"  # both 0 leave nothing to learn


def refused_flags(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(REFUSED)
    return ("--tuner", "grid", "--space-file", str(path))


def test_combinations_that_fit_refuses_are_left_out(demo_data, tmp_path, capsys):
    assert search(demo_data, tmp_path / "out", 1, *refused_flags(tmp_path)) == 0
    tried = [(row["alpha"], row["beta"]) for row in read_table(tmp_path / "out")]
    assert tried == [("0", "1")]  # test_oracles tries all
    assert "are left out, as here: --beta 0 leaves nothing" in capsys.readouterr().out


def test_a_refused_trial_of_an_earlier_version_does_not_stop_a_search(
    demo_data, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("tuning.oracles.why_refused", lambda values, base: "")
        assert search(demo_data, out, 1, *refused_flags(tmp_path)) == 1
    (row,) = read_table(out)
    assert row["status"] == "failed"
    assert row["reason"].startswith("--beta 0 leaves nothing to learn here.")
    assert search(demo_data, out, 2, *refused_flags(tmp_path)) == 0
    assert [row["status"] for row in read_table(out)] == ["failed", "completed"]


def test_a_stopped_worker_does_not_count_as_a_killed_one(demo_data, tmp_path, monkeypatch):
    def stop(*_):
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(HeadHyperModel, "build", stop)
        for _ in range(MAX_STARTS + 1):
            with pytest.raises(SystemExit):
                search(demo_data, tmp_path / "out", 1, *SPACE)
    assert search(demo_data, tmp_path / "out", 1, *SPACE) == 0


def test_memory_that_runs_out_is_a_trials_failure(demo_data, tmp_path, monkeypatch):
    fit = HeadHyperModel.fit

    def run_out(self, hp, *arguments):
        if hp.get("learning_rate") == 0.01:  # really running out could harm the machine
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore text")
        return fit(self, hp, *arguments)

    monkeypatch.setattr(HeadHyperModel, "fit", run_out)
    flags = fail_flags(tmp_path, "learning_rate = [0.01, 0.001]\n")
    assert search(demo_data, tmp_path / "out", 2, *flags) == 0
    rows = read_table(tmp_path / "out")
    assert [row["status"] for row in rows] == ["failed", "completed"]
    assert rows[0]["reason"] == "ResourceExhaustedError: OOM when allocating"
