"""How sure a result is: intervals, effects of alpha, and the best trained again."""

import itertools
import json
import math
from pathlib import Path

import pytest
from search_trials import OBJECTIVE, plan_of, read_csv, trial_of

from glr_keras.config import read_json
from glr_keras.runs.run_dir import RunDir, TrainingState
from glr_keras.training.divergence import DivergedError
from tuning import analysis
from tuning.analysis import alpha_effects, confirm_best, mean_interval, print_effects
from tuning.space import Dimension, alpha_beta_grid
from tuning.store import SearchDir
from tuning.trial import Training


def grid_trials(score_of):
    """Trials of the report's grid with 3 seeds."""
    choices = itertools.product(*(one.values for one in alpha_beta_grid([0, 1, 2])))
    return [
        trial_of(number, score_of(seed, alpha, beta), seed=seed, alpha=alpha, beta=beta)
        for number, (seed, alpha, beta) in enumerate(choices)
    ]


def test_an_interval_is_students():
    mean, half_width = mean_interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    assert half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3))
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
    assert effects[0.1].half_width == pytest.approx(0, abs=1e-12)
    assert effects[0.25].difference == pytest.approx(0.02)
    assert effects[0.25].half_width == pytest.approx(4.302653 * 0.05 / math.sqrt(3), rel=1e-6)
    verdicts = {alpha: one.verdict for alpha, one in effects.items()}
    assert verdicts == {
        0.1: "higher",
        0.25: "no significant difference",
        0.5: "lower",
        1.0: "higher",
    }
    print_effects(list(effects.values()), OBJECTIVE)
    assert "alpha 0.5   -0.0200 +- 0.0000 (3 seeds): lower" in capsys.readouterr().out


def test_one_seed_shows_no_difference():
    trials = [one for one in grid_trials(lambda *_: 0.5) if one.config.seed == 0]
    effects = alpha_effects(trials)
    assert {one.num_seeds for one in effects} == {1}
    assert {one.verdict for one in effects} == {"no significant difference"}


def confirm(search, plan, trials, scores, monkeypatch):
    """Confirms with two seeds whose scores are made up; only the complete run is a fake."""
    monkeypatch.setattr(analysis, "build_trial_model", lambda config, photos: None)

    def train_head(model, config, photos, run):
        score = scores[config.alpha]
        if score is None:
            raise DivergedError("Training broke down", "Try something else.")
        asked.append((config.alpha, config.seed))
        return Training(TrainingState(history=[{OBJECTIVE: score}], best_epoch=0), [], {})

    def train(config):
        run = RunDir(Path(config.run_dir))
        with run.claim(config):
            run.write_json("metrics.json", {"test": {"accuracy": 0.5, "photos": 10}})
        return json.loads(run.metrics.read_text())

    asked = []
    monkeypatch.setattr(analysis, "train_head", train_head)
    monkeypatch.setattr(analysis, "train", train)
    has_winner = confirm_best(search, plan, None, trials, 2)
    return has_winner, asked


def test_confirmation_uses_seeds_that_nothing_was_chosen_with(tmp_path, monkeypatch):
    plan = plan_of(alpha_beta_grid([0, 1, 2]), tuner="grid")
    trials = [trial_of(0, 0.9, seed=0, alpha=0.5), trial_of(1, 0.8, seed=2, alpha=0.5)]
    has_winner, asked = confirm(SearchDir(tmp_path), plan, trials, {0.5: 0.7}, monkeypatch)
    assert has_winner
    assert asked == [(0.5, 3), (0.5, 4)]  # once: the trials differ in their seeds only
    (row,) = read_csv(tmp_path / "confirm.csv")
    assert (row["mean"], row["seed_3"], row["seed_4"]) == ("0.7", "0.7", "0.7")


def test_confirmation_continues_after_more_trials_when_the_winner_changes(
    tmp_path, monkeypatch, capsys
):
    search, plan = SearchDir(tmp_path), plan_of([Dimension("alpha", (0.0, 0.5, 1.0))])
    few = [trial_of(0, 0.8, alpha=0.0)]
    more = [*few, trial_of(1, 0.9, alpha=0.5)]
    scores = {0.0: 0.7, 0.5: 0.75}
    assert confirm(search, plan, few, scores, monkeypatch) == (True, [(0.0, 1), (0.0, 2)])
    assert confirm(search, plan, more, scores, monkeypatch) == (True, [(0.5, 1), (0.5, 2)])
    assert read_json(tmp_path / "winner" / "config.json").alpha == 0.5
    assert read_json(tmp_path / "winner-1" / "config.json").alpha == 0.0
    assert "Winner: trial 0001" in capsys.readouterr().out
    assert confirm(search, plan, more, scores, monkeypatch) == (True, [])
    assert not (tmp_path / "winner-2").exists()


def test_a_config_that_fails_with_another_seed_is_no_winner(tmp_path, monkeypatch, capsys):
    plan = plan_of([Dimension("alpha", (0.0, 0.5, 1.0))])
    trials = [trial_of(0, 0.9, alpha=0.0), trial_of(1, 0.8, alpha=0.5)]
    search, scores = SearchDir(tmp_path), {0.0: None, 0.5: 0.7}
    assert confirm(search, plan, trials, scores, monkeypatch)[0]
    printed = capsys.readouterr().out
    assert "trial 0000: failed with another seed: Training broke down" in printed
    assert "Winner: trial 0001" in printed
    assert not confirm(search, plan, trials[:1], scores, monkeypatch)[0]
