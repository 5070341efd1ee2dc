"""Training goes on between any two steps as if nothing had been; it ends where it should."""

import contextlib
import csv
import dataclasses
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from plain_config import plain_config

from glr_keras.config import OBJECTIVE
from glr_keras.features.store import FeatureViews
from glr_keras.features.view_files import ViewFile
from glr_keras.models.heads import build_head
from glr_keras.models.objective import compile_model
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.arrays import save_arrays
from glr_keras.runs.run_dir import RunDir
from glr_keras.training import checkpoint, variables
from glr_keras.training.batches import StoredFeatures
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.loop import fit_recognizer
from glr_keras.training.variables import values
from tfrecords.common.console import UserError

SHAPE = (1, 2, 3)  # of features
LANDMARKS = ["arch", "bridge", "castle"]
STEPS = 4  # per epoch: 30 photos by 8
PLAIN = plain_config(
    head="dropout",
    head_units=(4,),
    epochs=3,
    views=2,
    batch_size=8,
    learning_rate=0.05,
    precision="float32",
)
EVERYTHING = dataclasses.replace(
    PLAIN,
    optimizer="adamw",
    weight_decay=0.01,
    schedule="cosine",
    warmup_epochs=0.5,
    clip_norm=1.0,
    ema=0.8,
    patience=3,
    balance=0.5,
    label_smoothing=0.1,
    mixup=0.3,
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Features of three landmarks, none too easy; those of validation photos are a few."""
    folder = tmp_path_factory.mktemp("features")
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, *SHAPE))
    found = {}
    for split, photos, numbers in (("train", 30, (0, 1)), ("validation", 12, (None,))):
        labels = random.integers(0, 3, photos)
        (folder / split).mkdir()
        files = {n: ViewFile(folder / split / f"{n}.npy", (photos, *SHAPE)) for n in numbers}
        for file in files.values():
            file.write_block(0, centres[labels] + 1.5 * random.normal(size=(photos, *SHAPE)))
        found[split] = FeatureViews(split, files, labels, list(map(str, range(photos))))
    return found


@contextlib.contextmanager
def saving_every_step():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "MIN_PAUSE_SECONDS", 0)
        patch.setattr(checkpoint, "TRAINING_PER_SAVING", 0)
        yield


@pytest.fixture
def save_every_step():
    with saving_every_step():
        yield


def recognizer_of(config):
    photos = keras.Input((2, 4, 3))
    backbone = keras.Model(photos, keras.layers.AveragePooling2D(2)(photos))
    backbone.trainable = False
    recognizer = Recognizer(backbone, build_head(config, 3, SHAPE), LANDMARKS)
    recognizer.build(backbone.input_shape)
    return recognizer


def fit(folder, config, views):
    """Trains in `folder` from where it stands; returns the state and the best weights."""
    run = RunDir(folder)
    recognizer = recognizer_of(config)
    source = StoredFeatures(views, recognizer.branches, 3, config)
    with run.claim(config):
        state = fit_recognizer(recognizer, source, tf.distribute.get_strategy(), config, run)
    return state, values(recognizer.head.variables)


@contextlib.contextmanager
def interrupted(hook, step):
    """Interrupts training in a hook of Keras, once so many steps are done."""
    do = getattr(Checkpoint, hook)

    def do_and_interrupt(self, *arguments, **settings):
        do(self, *arguments, **settings)
        if self.state.step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, hook, do_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield


def history_of(folder):
    with open(folder / "history.csv", newline="") as file:
        rows = csv.DictReader(file)
        return [{name: float(value) for name, value in row.items()} for row in rows]


@pytest.fixture(scope="module")
def whole_runs(views, tmp_path_factory):
    """Uninterrupted runs of both configs: folder, state, weights."""
    runs = {}
    for name, config in (("plain", PLAIN), ("everything", EVERYTHING)):
        folder = tmp_path_factory.mktemp(name)
        runs[name] = (folder, *fit(folder, config, views))
    return runs


@pytest.fixture(scope="module")
def unfinished(views, tmp_path_factory):
    """A run that ended after the first step of its third epoch."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    with saving_every_step(), interrupted("on_train_batch_end", 2 * STEPS + 1):
        fit(folder, PLAIN, views)
    return folder


@pytest.fixture
def copied(unfinished, tmp_path):
    """A copy of it, to resume or to harm."""
    return shutil.copytree(unfinished, tmp_path / "run")


def assert_same(folder, state, weights, whole):
    expected_folder, expected_state, expected_weights = whole
    history, expected = (f / "history.csv" for f in (folder, expected_folder))
    assert history.read_bytes() == expected.read_bytes()
    assert (state.history, state.best_epoch) == (expected_state.history, expected_state.best_epoch)
    for mine, its in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(mine, its)


INTERRUPTIONS = [
    ("on_train_batch_end", 2),  # in the first epoch
    ("on_epoch_end", 4),  # after an epoch
    ("on_train_batch_end", 7),
    ("on_test_begin", 8),  # for the second time in an epoch, while it is measured
    ("on_epoch_end", 12),  # after the last epoch
]


def test_an_interrupted_training_ends_the_same(
    views, whole_runs, tmp_path, save_every_step, capsys
):
    for number, (hook, step) in enumerate(INTERRUPTIONS):
        with interrupted(hook, step):
            fit(tmp_path, EVERYTHING, views)
        assert ("Resuming after step" in capsys.readouterr().out) == (number > 0)
    state, weights = fit(tmp_path, EVERYTHING, views)
    assert "Resuming after step" in capsys.readouterr().out
    assert_same(tmp_path, state, weights, whole_runs["everything"])


@pytest.mark.slow
@pytest.mark.parametrize("head", ["abn", "dropout"])
@pytest.mark.parametrize("step", range(1, 3 * STEPS + 1))
def test_an_interruption_at_any_step_changes_nothing(head, step, views, tmp_path, save_every_step):
    config = dataclasses.replace(EVERYTHING, head=head, attention_channels=4)
    state, weights = fit(tmp_path / "whole", config, views)
    with interrupted("on_train_batch_end", step):
        fit(tmp_path / "part", config, views)
    assert_same(
        tmp_path / "part",
        *fit(tmp_path / "part", config, views),
        (tmp_path / "whole", state, weights),
    )


def test_a_training_that_is_over_is_not_trained_again(whole_runs, views, tmp_path, monkeypatch):
    folder, state, weights = whole_runs["everything"]
    assert state.finished
    assert RunDir(folder).load_state().finished
    monkeypatch.setattr(keras.Model, "fit", None)  # a call would fail
    again, same = fit(folder, EVERYTHING, views)
    assert_same(folder, again, same, (folder, state, weights))


def damage(folder, name, how):
    path = next((folder / "checkpoint").glob(name))
    data = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "foreign":
        if path.suffix == ".json":
            path.write_text('{"step": 5, "history": [], "best_epoch": -1, "finished": false}')
        else:
            save_arrays(path, [np.zeros(3)] * 9)
    else:
        path.write_bytes(data[: {"empty": 0, "truncated": len(data) // 2}[how]])


@pytest.mark.parametrize("how", ["empty", "truncated", "foreign", "deleted"])
@pytest.mark.parametrize("name", ["state-*", "best-*", "state.json"])
def test_a_damaged_checkpoint_is_refused_never_trained_on(name, how, views, copied):
    if (name, how) == ("state.json", "deleted"):
        pytest.skip("then there is no checkpoint, and the run starts again")
    damage(copied, name, how)
    with pytest.raises(UserError, match=r"is damaged or of another run .*rm -r "):
        fit(copied, PLAIN, views)
    assert not (copied / "checkpoint" / "state.json").read_text().count("true")


def test_where_it_resumes_is_printed(views, copied, whole_runs, capsys):
    capsys.readouterr()
    state, weights = fit(copied, PLAIN, views)
    assert "Resuming after step 1 of 4 in epoch 3 of 3.\n" in capsys.readouterr().out
    assert_same(copied, state, weights, whole_runs["plain"])


def test_the_model_is_that_of_the_best_epoch(whole_runs, views):
    for name, config in (("plain", PLAIN), ("everything", EVERYTHING)):
        folder, state, weights = whole_runs[name]
        scores = [(row[OBJECTIVE], -row["val_cross_entropy"]) for row in history_of(folder)]
        assert state.best_epoch == scores.index(max(scores))
        measured = measure(weights, config, views)
        assert measured["perception_accuracy"] == pytest.approx(max(scores)[0])
        best = history_of(folder)[state.best_epoch]
        assert measured["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def measure(weights, config, views):
    """Measures weights of a head on the validation photos."""
    recognizer = recognizer_of(config)
    compile_model(recognizer.head, config, STEPS)
    for variable, value in zip(recognizer.head.variables, weights, strict=True):
        variable.assign(value)
    source = StoredFeatures(views, ("perception",), 3, config)
    batches = source.eval_batches("validation")
    return recognizer.head.evaluate(batches, verbose=0, return_dict=True)


def test_history_has_the_digits_that_float32_has(whole_runs):
    folder, state, _ = whole_runs["plain"]
    for row, kept in zip(history_of(folder), state.history, strict=True):
        assert row == kept
        assert all(len(f"{value!r}") <= 13 for value in row.values())
        assert list(row) == ["epoch", *sorted(set(row) - {"epoch"})]


def scored(monkeypatch, scores, losses=None):
    """Gives each epoch's measurement a value; the rest of training is what it is."""
    row = checkpoint._row

    def row_with_score(epoch, logs):
        loss = losses[epoch] if losses else 1.0
        return row(epoch, {**logs, OBJECTIVE: scores[epoch], "val_cross_entropy": loss})

    monkeypatch.setattr(checkpoint, "_row", row_with_score)


@pytest.mark.parametrize(
    ("patience", "epochs", "best"), [(0, 8, 5), (1, 2, 0), (2, 5, 2), (3, 8, 5), (4, 8, 5)]
)
def test_training_stops_after_as_many_epochs_without_a_better_one(
    patience, epochs, best, views, tmp_path, monkeypatch
):
    scored(monkeypatch, [0.5, 0.4, 0.6, 0.6, 0.1, 0.7, 0.7, 0.2])
    model, config = counting_model(patience=patience, epochs=8)
    state = run_epochs(model, config, RunDir(tmp_path))
    assert (len(state.history), state.best_epoch) == (epochs, best)


def test_of_equally_accurate_epochs_the_one_with_less_loss_is_kept(views, tmp_path, monkeypatch):
    scored(monkeypatch, [0.6, 0.5, 0.6, 0.6, 0.6], [0.9, 0.1, 0.7, 0.3, 0.3])
    model, config = counting_model(epochs=5)
    assert run_epochs(model, config, RunDir(tmp_path)).best_epoch == 3


def counting_model(**settings):
    config = dataclasses.replace(PLAIN, **settings)
    head = build_head(config, 3, SHAPE)
    compile_model(head, config, STEPS)
    head.optimizer.build(head.trainable_variables)
    return head, config


def run_epochs(model, config, run):
    """Calls the hooks as Keras does, without the steps."""
    keeper = Checkpoint(model, run, config, STEPS)
    keeper.set_model(model)
    model.stop_training = False
    while not keeper.is_over:
        assert not model.stop_training
        keeper.on_epoch_end(len(keeper.state.history), {"val_loss": 1.0})
    assert model.stop_training
    return keeper.state


def test_patience_is_remembered_after_an_interruption(
    views, tmp_path, monkeypatch, save_every_step
):
    scored(monkeypatch, [0.5, 0.4, 0.3, 0.9])
    config = dataclasses.replace(PLAIN, patience=2, epochs=4)
    with interrupted("on_train_batch_end", 2 * STEPS + 1):
        fit(tmp_path, config, views)
    state, _ = fit(tmp_path, config, views)
    assert (len(state.history), state.best_epoch) == (3, 0)


def test_what_is_measured_and_kept_is_the_average_of_the_weights(views, tmp_path, monkeypatch):
    config = dataclasses.replace(PLAIN, ema=0.8, momentum=0.0, epochs=2)
    raw, measured = [], []
    after_step, after_epoch = Checkpoint.on_train_batch_end, Checkpoint.on_epoch_end

    def note_raw(self, batch, logs=None):
        after_step(self, batch, logs)
        raw.append(values(self.model.trainable_variables))

    def note_measured(self, epoch, logs=None):
        measured.append(values(self.model.trainable_variables))
        after_epoch(self, epoch, logs)
        for mine, its in zip(values(self.model.trainable_variables), raw[-1], strict=True):
            np.testing.assert_array_equal(mine, its)  # the raw weights go on

    monkeypatch.setattr(Checkpoint, "on_train_batch_end", note_raw)
    monkeypatch.setattr(Checkpoint, "on_epoch_end", note_measured)
    state, kept = fit(tmp_path, config, views)
    assert len(raw) == 2 * STEPS
    averages = [raw[0]]
    for weights in raw[1:]:
        pairs = zip(averages[-1], weights, strict=True)
        averages.append([0.8 * average + 0.2 * weight for average, weight in pairs])
    for epoch in range(2):
        expected = averages[(epoch + 1) * STEPS - 1]
        for mine, its in zip(measured[epoch], expected, strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
    assert np.abs(measured[1][0] - raw[-1][0]).max() > 1e-3
    for mine in measured[state.best_epoch]:
        assert any(np.array_equal(mine, one) for one in kept)


def test_raw_weights_of_an_average_are_those_of_a_training_without_one(views, whole_runs, tmp_path):
    """An average must only watch: the losses of training steps are the same with and without."""
    fit(tmp_path, dataclasses.replace(PLAIN, ema=0.8), views)
    losses, without = (
        [row["loss"] for row in history_of(folder)] for folder in (tmp_path, whole_runs["plain"][0])
    )
    assert losses == without


@pytest.fixture(scope="module")
def diverging(views, tmp_path_factory):
    """A run whose features become infinite in the second epoch, and the error it ends with."""
    folder = tmp_path_factory.mktemp("diverging")
    files = dict(views["train"].files)
    harmed = ViewFile(folder / "1.npy", files[1].shape)
    features = files[1].rows(range(30))
    features[:] = np.nan
    harmed.write_block(0, features)
    harmed_views = views | {"train": dataclasses.replace(views["train"], files=files | {1: harmed})}
    with saving_every_step(), pytest.raises(UserError) as error:
        fit(folder / "run", PLAIN, harmed_views)
    return folder / "run", str(error.value)


def test_a_loss_that_is_no_number_stops_at_once_and_tells_what_to_try(diverging):
    folder, text = diverging
    assert re.fullmatch(
        # Which of them overflows first depends on the processor.
        r"Training broke down at step 1 of epoch 2 \(step 5 in all\): (the loss|\S+/\w+) is not a "
        rf"finite number\. The state before it stays in {re.escape(str(folder / 'checkpoint'))}\. "
        r"Start again in another --run-dir with a lower --learning-rate \(now 0\.05\), "
        r"--clip-norm 1 \(now 0: 0 is none\) or --warmup-epochs 1 \(now 0\)\.",
        text,
    )


def test_no_nan_is_in_the_checkpoint_that_stays(diverging):
    folder, _ = diverging
    state = RunDir(folder).load_state()
    assert state.step == 4
    assert state.variables
    for array in (*state.variables, *RunDir(folder).load_best(state.best_epoch)):
        assert np.isfinite(array.read()).all()
    assert len(history_of(folder)) == 1


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, save_every_step):
    model, config = counting_model()
    keeper = Checkpoint(model, RunDir(tmp_path), config, STEPS)
    keeper.set_model(model)
    keeper.on_train_batch_end(0, {"loss": 1.0})
    kernel = model.trainable_variables[2]
    kernel.assign(np.full(kernel.shape, np.inf))
    message = r"step 2 of epoch 1 \(step 2 in all\): .*/kernel is not a finite number"
    with pytest.raises(UserError, match=message):
        keeper.on_train_batch_end(1, {"loss": 1.0})
    state = RunDir(tmp_path).load_state()
    assert state.step == 1
    assert all(np.isfinite(array.read()).all() for array in state.variables)


def test_saving_takes_a_small_fraction_of_the_time(tmp_path, monkeypatch):
    """A fake clock: a save takes 2 s, so the next would be due after 40 s, and is after 30."""
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    saved = []

    def save_state(self, state, variables):
        saved.append((now[0], state.step))
        now[0] += cost[0]

    monkeypatch.setattr(RunDir, "save_state", save_state)
    model, config = counting_model()
    keeper = Checkpoint(model, RunDir(tmp_path), config, 10**6)
    keeper.set_model(model)
    cost = [0.5]
    for _ in range(1000):  # a step takes a tenth of a second
        now[0] += 0.1
        keeper.on_train_batch_end(0, {"loss": 1.0})
        cost = [2.0] if now[0] > 130 else cost
    times = [round(time - 100, 1) for time, _ in saved]
    pauses = np.diff(times).round(1).tolist()
    assert times[0] == pytest.approx(
        1.0, abs=0.11
    )  # MIN_PAUSE_SECONDS: little is known of the cost
    assert pauses[0] == pytest.approx(10.5, abs=0.11)  # 20 times half a second, and that itself
    assert pauses[-1] == pytest.approx(32, abs=0.11)  # MAX_PAUSE_SECONDS, and the save
    assert max(pauses) <= 32.11


def test_frozen_weights_of_a_backbone_are_not_in_the_checkpoint():
    photos = keras.Input((2, 4, 3))
    maps = keras.layers.Conv2D(3, 2, strides=2)(photos)
    backbone = keras.Model(photos, maps)
    backbone.trainable = False
    recognizer = Recognizer(backbone, build_head(PLAIN, 3, SHAPE), LANDMARKS)
    recognizer.build(backbone.input_shape)
    paths = {variable.path for variable in variables.changing(recognizer)}
    assert paths == {variable.path for variable in recognizer.head.variables}
    assert any("seed" in path for path in paths)  # of dropout
    assert any("moving_mean" in path for path in paths)
    backbone.trainable = True
    assert len(variables.changing(recognizer)) == len(paths) + 2


def test_the_state_on_disk_is_readable(unfinished):
    stored = json.loads((unfinished / "checkpoint" / "state.json").read_text())
    scores = [row[OBJECTIVE] for row in stored["history"]]
    assert (stored["step"], stored["finished"]) == (2 * STEPS + 1, False)
    assert (len(scores), stored["best_epoch"]) == (2, scores.index(max(scores)))
    assert stored["history"] == RunDir(unfinished).load_state().history
