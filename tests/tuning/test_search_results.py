"""What a search makes of its scores: ranks, intervals, figures. No training here."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from glr_keras.config import FitConfig
from tuning.analysis import alpha_effects, mean_interval, print_effects
from tuning.display import Progress, show_seconds
from tuning.figures import draw_search
from tuning.plan import SearchPlan
from tuning.space import Dimension, alpha_beta_grid, choose_space
from tuning.store import SearchDir
from tuning.trials import Trial, best_first, show_value, write_table

BASE = FitConfig()
OBJECTIVE = "val_perception_accuracy"


def plan_of(dimensions, objective=OBJECTIVE):
    return SearchPlan(BASE, tuple(dimensions), "random", objective)


def trial_of(number, score, **values):
    config = dataclasses.replace(BASE, **values)
    result = {"seconds": {"building": 1.0, "training": 2.0}, "best_epoch": 1}
    history = [] if score is None else [{"epoch": 1, OBJECTIVE: score}]
    status = "failed" if score is None else "completed"
    if score is None:
        result = {"reason": "the loss is not a finite number"}
    return Trial(f"{number:04}", status, values, config, score, history, result)


def grid_trials(score_of):
    """Trials of the report's grid with 3 seeds."""
    choices = itertools.product(*(one.values for one in alpha_beta_grid([0, 1, 2])))
    return [
        trial_of(number, score_of(seed, alpha, beta), seed=seed, alpha=alpha, beta=beta)
        for number, (seed, alpha, beta) in enumerate(choices)
    ]


def test_the_best_is_first_and_of_equals_the_earlier_one():
    trials = [trial_of(0, 0.5), trial_of(1, 0.7), trial_of(2, None), trial_of(3, 0.7)]
    assert [one.trial_id for one in best_first(trials, "max")] == ["0001", "0003", "0000"]
    assert [one.trial_id for one in best_first(trials, "min")] == ["0000", "0001", "0003"]


def test_an_interval_is_students():
    mean, half = mean_interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(4.303 * 0.1 / math.sqrt(3))
    assert mean_interval([0.5] * 40) == (0.5, 0.0)
    assert math.isnan(mean_interval([0.5])[1])


def test_an_alpha_is_compared_with_0_seed_by_seed(capsys):
    gain = {0.0: 0.0, 0.1: 0.02, 0.25: 0.02, 0.5: -0.02, 1.0: 0.001}
    noise = {(0.25, 0): 0.05, (0.25, 1): -0.05}
    trials = grid_trials(
        lambda seed, alpha, beta: (
            0.8 + 0.01 * seed + 0.02 * beta + gain[alpha] + noise.get((alpha, seed), 0)
        )
    )
    effects = {one.alpha: one for one in alpha_effects(trials)}
    assert list(effects) == [0.1, 0.25, 0.5, 1.0]
    assert effects[0.1].difference == pytest.approx(0.02)
    assert effects[0.1].half == pytest.approx(0, abs=1e-12)
    assert effects[0.25].difference == pytest.approx(0.02)
    assert effects[0.25].half == pytest.approx(4.303 * 0.05 / math.sqrt(3), rel=1e-6)
    verdicts = {alpha: one.verdict for alpha, one in effects.items()}
    assert verdicts == {
        0.1: "higher",
        0.25: "no difference that these seeds can tell",
        0.5: "lower",
        1.0: "higher",
    }
    print_effects(list(effects.values()), OBJECTIVE)
    assert "alpha 0.5   -0.0200 +- 0.0000 (3 seeds): lower" in capsys.readouterr().out


def test_one_seed_tells_no_difference():
    trials = [one for one in grid_trials(lambda *_: 0.5) if one.config.seed == 0]
    effects = alpha_effects(trials)
    assert {one.seeds for one in effects} == {1}
    assert {one.verdict for one in effects} == {"no difference that these seeds can tell"}


def random_trials(count):
    rng = np.random.default_rng(0)
    units = [(), (256,), (512, 512)]
    return [
        trial_of(
            number,
            float(rng.uniform(0.7, 0.9)),
            alpha=float(rng.integers(21) / 20),
            beta=float(0.25 * 16 ** rng.uniform()),
            head_units=units[number % 3],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 30])
def test_figures_are_drawn_of_few_trials_and_of_many(tmp_path, count):
    plan = plan_of(choose_space(["alpha", "beta", "head_units"], None, BASE))
    plan = dataclasses.replace(
        plan,
        dimensions=(Dimension("head_units", ((), (256,), (512, 512))), *plan.dimensions[1:]),
    )
    trials = [*random_trials(count), trial_of(count, None, alpha=0.0, beta=1.0, head_units=())]
    search = SearchDir(tmp_path)
    draw_search(search, plan, trials)
    for name in ("alpha_beta", "best_so_far", "parallel_coordinates"):
        with Image.open(search.figure(name)) as picture:
            assert min(picture.size) > 300
            assert len(set(picture.convert("L").get_flattened_data())) > 10


def test_a_figure_of_alpha_and_beta_needs_both(tmp_path):
    plan = plan_of(choose_space(["alpha"], None, BASE))
    draw_search(SearchDir(tmp_path), plan, [trial_of(0, 0.5, alpha=0.5)])
    assert not (tmp_path / "figures" / "alpha_beta.png").exists()


def test_the_live_table_tells_score_best_and_time_left(capsys, monkeypatch):
    seconds = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("tuning.display.time.monotonic", lambda: next(seconds))
    progress = Progress(plan_of([Dimension("alpha", (0.0, 1.0))]), 3)
    first, second = trial_of(0, 0.8, alpha=0.0), trial_of(1, None, alpha=1.0)
    progress.show([first], first)
    progress.show([first, second], second)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "trial score best took left",
        "1 of 3 80.00% 80.00% 3.0 s 20 s alpha 0",
        "2 of 3 - 80.00% 0.0 s 10 s FAILED: the loss is not a finite number (alpha 1)",
    ]


def test_the_table_leaves_empty_what_a_trial_does_not_have(tmp_path):
    plan = plan_of([Dimension("optimizer", ("sgd", "adam")), Dimension("momentum", (0.0, 0.9))])
    trials = [trial_of(0, 0.8, optimizer="sgd", momentum=0.9), trial_of(1, None, optimizer="adam")]
    write_table(SearchDir(tmp_path), plan, trials)
    header, first, second = (tmp_path / "trials.csv").read_text().splitlines()
    assert header == (
        "trial,status,val_perception_accuracy,best_epoch,epochs,optimizer,momentum,seconds,"
        "seconds_building,seconds_tracing,seconds_training,seconds_writing,"
        "val_perception_accuracy_1,val_attention_accuracy_1,reason"
    )
    assert first == "0000,completed,0.8,1,1,sgd,0.9,3.0,1.0,,2.0,,0.8,,"
    assert second == "0001,failed,,,0,adam,,,,,,,,,the loss is not a finite number"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (42, "42 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations_are_readable(seconds, text):
    assert show_seconds(seconds) == text


def test_values_are_readable():
    values = [(512, 512), (), 0.25, "sgd", 3, True]
    assert [show_value(value) for value in values] == [
        "512 512",
        "none",
        "0.25",
        "sgd",
        "3",
        "True",
    ]
