"""How trials are drawn, without training any."""

import dataclasses
import json
import shutil

import keras_tuner
import pytest

from glr_keras.config import FitConfig
from tuning.choice import choose_space
from tuning.oracles import make_oracle
from tuning.plan import SearchPlan
from tuning.space import Dimension, alpha_beta_grid
from tuning.store import SearchDir

BASE = FitConfig(epochs=9)
OBJECTIVE = "val_accuracy"


def plan_of(tuner="random", names=("optimizer", "alpha", "beta", "momentum"), seed=0):
    base = dataclasses.replace(BASE, seed=seed)
    return SearchPlan(base, tuple(choose_space(names, None, base)), tuner, OBJECTIVE)


def open_oracle(folder, plan, limit=None):
    """The oracle of a search as `SearchTuner` opens it."""
    search = SearchDir(folder)
    oracle = make_oracle(plan, limit)
    oracle._set_project_dir(str(folder), search.trials.name)
    if (search.trials / "oracle.json").exists():
        oracle.reload()
    return oracle


def score(values):
    """A made-up score; best where alpha is 0.5."""
    return 1 - abs(values.get("alpha", 0) - 0.5) + 0.01 * values["beta"]


def run_one(oracle, worker="tuner0", fails=False):
    """Runs a trial as a worker would; returns its values, None where none is left."""
    trial = oracle.create_trial(worker)
    if trial.status == "STOPPED":
        return None
    trial.status = "FAILED" if fails else "COMPLETED"
    if not fails:
        oracle.update_trial(trial.trial_id, {OBJECTIVE: score(trial.hyperparameters.values)})
    oracle.end_trial(trial)
    return dict(trial.hyperparameters.values)


def run_all(oracle):
    return list(iter(lambda: run_one(oracle), None))


@pytest.mark.parametrize("tuner", ["random", "bayesian", "hyperband", "grid"])
def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(tmp_path, tuner):
    # KerasTuner's bayesian tuner draws three per dimension at random first.
    plan = plan_of(tuner, names=["beta"] if tuner == "bayesian" else ["optimizer", "alpha", "beta"])
    whole = run_all(open_oracle(tmp_path / "whole", plan, limit=5))
    parts = []
    for limit in (2, 4, 5):
        parts += run_all(open_oracle(tmp_path / "parts", plan, limit))
    assert len(whole) == 5
    assert parts == whole


def test_seed_0_is_a_seed(tmp_path):
    drawn = [
        run_all(open_oracle(tmp_path / name, plan_of(seed=seed), limit=4))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_trial_that_had_begun_is_repeated_first(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=5)
    run_one(oracle)
    begun = [oracle.create_trial(worker) for worker in ("a", "b")]
    oracle.update_trial(begun[0].trial_id, {OBJECTIVE: 0.1})  # killed just before it ended
    again = open_oracle(tmp_path, plan_of(), limit=5)
    first, second = again.create_trial("a"), again.create_trial("b")
    assert [first.trial_id, second.trial_id] == ["0001", "0002"]
    assert first.hyperparameters.values == begun[0].hyperparameters.values
    assert not first.metrics.exists(OBJECTIVE)


def test_a_worker_that_starts_again_gets_its_trial_again(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=5)
    trial = oracle.create_trial("worker1")
    oracle.create_trial("worker2")
    assert oracle.create_trial("worker1").trial_id == trial.trial_id


def test_a_trial_that_the_oracle_had_not_stored_is_drawn_again(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=5)
    run_one(oracle)
    path = tmp_path / "trials" / "oracle.json"
    before = path.read_text()
    lost = oracle.create_trial("tuner0")
    path.write_text(before)  # as if killed between the trial's file and the oracle's
    again = open_oracle(tmp_path, plan_of(), limit=5)
    trial = again.create_trial("tuner0")
    assert trial.trial_id == lost.trial_id
    assert trial.hyperparameters.values == lost.hyperparameters.values


def test_a_limit_may_be_raised(tmp_path):
    assert len(run_all(open_oracle(tmp_path, plan_of(), limit=2))) == 2
    assert len(run_all(open_oracle(tmp_path, plan_of(), limit=12))) == 10
    assert len(list((tmp_path / "trials").glob("trial_????/trial.json"))) == 12


def test_three_failures_in_a_row_stop_a_search(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=20)
    outcomes = [True, True, False, True, True, True]
    for fails in outcomes:
        assert run_one(oracle, fails=fails) is not None
    assert run_one(oracle) is None
    statuses = [trial.status for trial in oracle.trials.values()]
    assert statuses == ["FAILED" if fails else "COMPLETED" for fails in outcomes]


def test_a_stopped_search_can_be_resumed(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=4)
    for _ in range(3):
        run_one(oracle, fails=True)
    assert run_one(oracle) is None
    assert len(run_all(open_oracle(tmp_path, plan_of(), limit=4))) == 1


def test_a_full_disk_leaves_the_file_of_before(tmp_path, monkeypatch):
    oracle = open_oracle(tmp_path, plan_of(), limit=4)
    run_one(oracle)
    before = (tmp_path / "trials" / "oracle.json").read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        oracle.save()
    assert (tmp_path / "trials" / "oracle.json").read_bytes() == before


def test_a_grid_tries_every_combination_once(tmp_path):
    plan = SearchPlan(BASE, tuple(alpha_beta_grid([0, 1])), "grid", OBJECTIVE)
    drawn = run_all(open_oracle(tmp_path, plan))
    assert len({tuple(one.values()) for one in drawn}) == len(drawn) == 30
    assert [one["seed"] for one in drawn] == [0] * 15 + [1] * 15


def test_a_grid_leaves_out_what_is_not_active(tmp_path):
    dimensions = (Dimension("optimizer", ("sgd", "adam")), Dimension("momentum", (0.0, 0.9)))
    plan = SearchPlan(BASE, dimensions, "grid", OBJECTIVE)
    assert run_all_values(tmp_path, plan) == [
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam"},
    ]


def run_all_values(folder, plan):
    oracle = open_oracle(folder, plan)
    drawn = []
    while (trial := oracle.create_trial("tuner0")).status != "STOPPED":
        drawn.append(dict(trial.hyperparameters.values))
        trial.status = "FAILED"
        oracle.failures = 0
        oracle.end_trial(trial)
        oracle.failures = 0
    return drawn


def test_a_grid_takes_ten_values_of_a_range(tmp_path):
    dimensions = (Dimension("beta", low=0.25, high=4.0, sampling="log"),)
    drawn = run_all(open_oracle(tmp_path, SearchPlan(BASE, dimensions, "grid", OBJECTIVE)))
    betas = [one["beta"] for one in drawn]
    assert len(betas) == 10
    assert betas == sorted(betas)


def test_hyperband_gives_the_best_more_epochs(tmp_path):
    drawn = run_all(open_oracle(tmp_path, plan_of("hyperband"), limit=13))
    rungs = [(one["tuner/epochs"], one["tuner/initial_epoch"]) for one in drawn]
    assert rungs == [(1, 0)] * 9 + [(3, 1)] * 3 + [(9, 3)]
    best = max(drawn[:9], key=score)
    assert {name: drawn[-1][name] for name in ("alpha", "beta")} == {
        name: best[name] for name in ("alpha", "beta")
    }


def test_the_objective_has_its_direction(tmp_path):
    for objective, direction in (("val_perception_top5", "max"), ("val_attention_loss", "min")):
        plan = dataclasses.replace(plan_of(), objective=objective)
        oracle = make_oracle(plan, None)
        assert isinstance(oracle.objective, keras_tuner.Objective)
        assert (oracle.objective.name, oracle.objective.direction) == (objective, direction)


def test_values_stay_as_drawn_after_a_worker_sent_them_back(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=2)
    trial = oracle.create_trial("worker1")
    drawn = dict(trial.hyperparameters.values)
    sent = type(trial).from_proto(trial.to_proto())
    sent.hyperparameters.values["beta"] += 1e-7
    sent.status = "COMPLETED"
    oracle.update_trial(sent.trial_id, {OBJECTIVE: 0.5})
    oracle.end_trial(sent)
    kept = json.loads((tmp_path / "trials" / "trial_0000" / "trial.json").read_text())
    assert kept["hyperparameters"]["values"] == drawn
    shutil.rmtree(tmp_path / "trials")


REFUSED = {"alpha": 0.0, "beta": 0.0}  # leaves nothing to learn


def refusing_plan(tuner):
    dimensions = (Dimension("alpha", (0.0, 1.0)), Dimension("beta", (0.0, 1.0)))
    return SearchPlan(BASE, dimensions, tuner, OBJECTIVE)


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid"])
def test_combinations_that_fit_config_refuses_are_not_drawn(tmp_path, tuner):
    # From the seventh trial on, KerasTuner's bayesian tuner repeats what it takes for the best.
    drawn = run_all(open_oracle(tmp_path, refusing_plan(tuner), limit=9))
    assert REFUSED not in drawn
    assert len({tuple(one.values()) for one in drawn}) == 3


def test_hyperband_does_not_draw_them_either(tmp_path):
    drawn = run_all(open_oracle(tmp_path, refusing_plan("hyperband"), limit=9))
    assert REFUSED not in [{name: one[name] for name in REFUSED} for one in drawn]
    assert len(drawn) > 2


def test_a_bayesian_draw_that_is_refused_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(
        keras_tuner.oracles.BayesianOptimizationOracle,
        "populate_space",
        lambda self, trial_id: {"status": "RUNNING", "values": dict(REFUSED)},
    )
    values = run_one(open_oracle(tmp_path, refusing_plan("bayesian"), limit=1))
    assert values is not None
    assert values != REFUSED


def test_a_grid_resumes_where_it_was_after_a_refused_trial_of_an_earlier_version(tmp_path):
    plan = refusing_plan("grid")
    oracle = open_oracle(tmp_path, plan)
    oracle.is_accepted = lambda values: True
    drawn = [run_one(oracle, fails=True)]
    drawn += run_all(open_oracle(tmp_path, plan))
    assert drawn == [{"alpha": alpha, "beta": beta} for alpha in (0.0, 1.0) for beta in (0.0, 1.0)]


def test_trials_keep_their_order_beyond_9999(tmp_path):
    oracle = open_oracle(tmp_path, plan_of(), limit=5)
    for _ in range(3):
        run_one(oracle)
    oracle.create_trial("worker1")
    oracle.create_trial("worker2")
    folder = tmp_path / "trials"
    for old, new in (("0002", "9998"), ("0003", "9999"), ("0004", "10000")):
        (folder / f"trial_{old}").rename(folder / f"trial_{new}")
        for path in (folder / f"trial_{new}" / "trial.json", folder / "oracle.json"):
            path.write_text(path.read_text().replace(f'"{old}"', f'"{new}"'))
    again = open_oracle(tmp_path, plan_of(), limit=5)
    assert list(again.trials) == ["0000", "0001", "9998", "9999", "10000"]
    assert [again.create_trial(worker).trial_id for worker in "ab"] == ["9999", "10000"]
