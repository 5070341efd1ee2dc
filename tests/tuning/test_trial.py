"""What a trial of a search does: its model, its training, what it leaves."""

import dataclasses
import gc

import keras_tuner
import numpy as np
import pytest
from plain_config import plain_config
from search_trials import SMALL
from tensorflow.python.framework.func_graph import FuncGraph

from glr_keras.data.records import open_records
from tuning.process import open_photos
from tuning.search import parse_flags, plan_search
from tuning.store import SearchDir, TrialDir
from tuning.trial import (
    HeadHyperModel,
    build_trial_model,
    reported_metrics,
    share_schedule,
    train_head,
)


@pytest.fixture(scope="module")
def photos(demo_data, tmp_path_factory):
    """The stored features of a search, and its plan."""
    flags = ("--data-dir", str(demo_data), *SMALL, "--space", "alpha,beta,learning_rate")
    flags += ("--schedule", "constant", "--warmup-epochs", "0")
    plan, _ = plan_search(*parse_flags(flags))
    search = SearchDir(tmp_path_factory.mktemp("search"))
    return open_photos(search, plan, open_records(demo_data))


def test_a_trial_model_has_its_loss_weights(photos):
    stored, plan = photos
    hp = keras_tuner.HyperParameters()
    hp.values = {"alpha": 0.35, "beta": 1.5, "learning_rate": 0.002}
    compiled = HeadHyperModel(plan.base, stored).build(hp).get_compile_config()
    assert compiled["loss_weights"] == {"attention": 0.35, "perception": 1.5}
    assert compiled["optimizer"]["config"]["learning_rate"] == pytest.approx(0.002)


def test_the_test_split_is_not_opened(photos):
    assert set(photos[0].views) == {"train", "validation"}


@pytest.mark.parametrize("head", ["abn", "dropout"])
def test_a_trial_traces_its_step_once_and_logs_what_may_be_the_objective(
    photos, head, tmp_path, monkeypatch
):
    stored, plan = photos
    config = dataclasses.replace(plan.base, head=head, epochs=1)
    model = build_trial_model(config, stored)
    traces, step = [], model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: traces.append(1) or step(data))
    training = train_head(model, config, stored, TrialDir(tmp_path))
    assert len(traces) == 1
    logged = {name for name in training.state.history[0] if name.startswith("val_")}
    assert logged == reported_metrics(config)


def test_a_trial_leaves_no_graph_behind(photos, tmp_path):
    stored, plan = photos
    config = dataclasses.replace(plan.base, epochs=1)
    graphs = []
    for number in range(3):
        model = build_trial_model(config, stored)
        gc.collect()
        graphs.append(sum(isinstance(one, FuncGraph) for one in gc.get_objects()))
        (tmp_path / str(number)).mkdir()
        train_head(model, config, stored, TrialDir(tmp_path / str(number)))
    assert graphs[2] == graphs[1]


def test_a_rung_resumes_exactly(photos, tmp_path):
    stored, plan = photos
    config = dataclasses.replace(plan.base, head="dropout", epochs=2, ema=0.9)
    straight, first, second = (tmp_path / name for name in ("straight", "first", "second"))
    for path in (straight, first, second):
        path.mkdir()

    def run(config, folder):
        model = build_trial_model(config, stored)
        return model, train_head(model, config, stored, folder, resumable=True)

    model, whole = run(config, TrialDir(straight))
    _, part = run(dataclasses.replace(config, epochs=1), TrialDir(first))
    TrialDir(first).keep_checkpoint(part.state, part.variables)
    again, rest = run(config, TrialDir(second, parent=first))
    assert rest.state.history == whole.state.history
    for array, expected in zip(rest.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(array, expected)
    for array, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_rung_whose_training_is_over_leaves_its_parents_state(photos, tmp_path):
    stored, plan = photos
    config = dataclasses.replace(plan.base, head="dropout", epochs=1, ema=0.9)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()

    def run(folder):
        return train_head(build_trial_model(config, stored), config, stored, folder, resumable=True)

    part = run(TrialDir(tmp_path / "first"))
    TrialDir(tmp_path / "first").keep_checkpoint(part.state, part.variables)
    rest = run(TrialDir(tmp_path / "second", parent=tmp_path / "first"))
    for array, expected in zip(rest.variables, part.variables, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("schedule", "is_shared"), [("constant", True), ("step", True), ("cosine", False)]
)
def test_a_rung_is_resumed_only_if_its_rates_are_those_of_the_longer_trial(schedule, is_shared):
    config = plain_config(schedule=schedule, epochs=3, warmup_epochs=1)
    assert share_schedule(dataclasses.replace(config, epochs=1), config, 5) == is_shared


def test_what_is_fine_tuned_learns_in_each_trial_anew(demo_data, tmp_path):
    flags = ("--data-dir", str(demo_data), *SMALL, "--finetune-after", "block1_pool")
    space = ("--space", "alpha", "--features-dir", str(tmp_path / "features"))
    plan, _ = plan_search(*parse_flags((*flags, *space)))
    stored, plan = open_photos(SearchDir(tmp_path), plan, open_records(demo_data))
    before = stored.trunk.get_weights()
    config = dataclasses.replace(plan.base, epochs=1, trunk_learning_rate=1.0)
    model = build_trial_model(config, stored)
    train_head(model, config, stored, TrialDir(tmp_path))
    moved = [
        not np.array_equal(*pair) for pair in zip(model.trunk.get_weights(), before, strict=True)
    ]
    assert any(moved)
    assert all(
        np.array_equal(*pair) for pair in zip(stored.trunk.get_weights(), before, strict=True)
    )
