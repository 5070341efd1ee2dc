"""How sure the best is: a few trials trained again with other seeds; the winner is tested."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glr_keras import config as config_file
from glr_keras.training.train import train
from tuning.plan import SearchPlan
from tuning.store import SearchDir, TrialDir
from tuning.trial import StoredPhotos, build_trial_model, train_head
from tuning.trials import Trial, show_value
from tuning.tuner import score_of

CONFIRMED = 3  # best trials
GRID = {"seed", "alpha", "beta"}
# Student's t for a two-sided 95 % interval, by degrees of freedom; beyond 30 the normal's 1.96 is
# within 4 %. SciPy has it, but is no dependency of this project.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Confirmation:
    """Scores of one trial's config with several seeds, none of them the search's.

    Attributes:
        trial: The trial.
        scores: The objective, one per seed.
    """

    trial: Trial
    scores: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))

    @property
    def deviation(self) -> float:
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan


def confirm_best(
    search: SearchDir,
    plan: SearchPlan,
    photos: StoredPhotos,
    best: Sequence[Trial],
    num_seeds: int,
    is_demo: bool,
) -> None:
    """Trains the best few again with `num_seeds` new seeds; tests the one of the best mean.

    The search's own score of a winner is too good: it was the luckiest of many. So its seed is
    left out here. Views stay the same, as the backbone has run already. What was trained before an
    interruption is kept.

    Args:
        search: SearchDir.
        plan: SearchPlan.
        photos: StoredPhotos.
        best: Completed trials, best first.
        num_seeds: Int, above 0.
        is_demo: Whether the photos are the built-in demo's.
    """
    seeds = [plan.base.seed + 1 + number for number in range(num_seeds)]
    print(f"\nTraining the best {len(best[:CONFIRMED])} again with {num_seeds} new seeds.")
    found = []
    for trial in _without_repetitions(best)[:CONFIRMED]:
        scores = [_score(search, plan, photos, trial, seed) for seed in seeds]
        found.append(Confirmation(trial, scores))
        one = found[-1]
        _, half = mean_interval(scores)
        print(
            f"  trial {trial.trial_id}: {plan.objective} {one.mean:.4f}, standard deviation "
            f"{one.deviation:.4f}, 95 % interval of the mean +- {half:.4f} (in the search "
            f"{trial.score:.4f})",
            flush=True,
        )
    _write_table(search, plan, found, seeds)
    pick = max if plan.direction == "max" else min
    winner = pick(found, key=lambda one: one.mean)
    _test_winner(search, winner, is_demo)


def _without_repetitions(best):
    """Leaves out trials that differ from a better one in their seed only."""
    seen, kept = set(), []
    for trial in best:
        config = dataclasses.replace(trial.config, seed=0)
        if config not in seen:
            seen.add(config)
            kept.append(trial)
    return kept


def _score(search, plan, photos, trial, seed):
    folder = search.path / "confirm" / f"trial_{trial.trial_id}-seed_{seed}"
    run = TrialDir(folder)
    if result := run.read_result():
        return result["score"]
    run.count_start()
    config = dataclasses.replace(trial.config, seed=seed)
    run.write_text("config.json", config_file.to_json(config))
    training = train_head(build_trial_model(config, photos), config, photos, run)
    score = score_of(training, plan)
    run.write_result({"score": score, "best_epoch": training.state.best_epoch + 1})
    return score


def _write_table(search, plan, found, seeds):
    names = [dimension.name for dimension in plan.dimensions]
    out = io.StringIO()
    columns = ["trial", "mean", "standard_deviation", *(f"seed_{seed}" for seed in seeds), *names]
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for one in found:
        row = {"trial": one.trial.trial_id, "mean": one.mean, "standard_deviation": one.deviation}
        row |= {f"seed_{seed}": score for seed, score in zip(seeds, one.scores, strict=True)}
        row |= {name: show_value(value) for name, value in one.trial.values.items()}
        writer.writerow(row)
    search.run.write_text("confirm.csv", out.getvalue())


def _test_winner(search, winner, is_demo):
    """Makes a complete run of the winner, which measures it on the test photos."""
    run_dir = search.path / "winner"
    config = dataclasses.replace(winner.trial.config, run_dir=str(run_dir))
    done = run_dir / "metrics.json"
    known = done.exists() and config_file.read_json(run_dir / "config.json") == config
    metrics = json.loads(done.read_text()) if known else train(config, is_demo)
    test = metrics["test"]
    print(
        f"Winner: trial {winner.trial.trial_id}. On the test photos, which nothing else has seen: "
        f"{test['perception_accuracy']:.1%} of {test['photos']} right. Its run: {Path(run_dir)}"
    )


@dataclass(frozen=True)
class Effect:
    """What an alpha changes against alpha 0.

    Attributes:
        alpha: Float, above 0.
        difference: Mean over seeds of the difference in score.
        half: Half width of its 95 % interval; nan for a single seed.
        seeds: Int, how many seeds that is.
    """

    alpha: float
    difference: float
    half: float
    seeds: int

    @property
    def verdict(self) -> str:
        if not abs(self.difference) > self.half:
            return "no difference that these seeds can tell"
        return "higher" if self.difference > 0 else "lower"


def alpha_effects(trials: Sequence[Trial]) -> list[Effect]:
    """Compares each alpha with alpha 0, seed by seed.

    Of one seed, the differences at each beta are averaged first: they share their views and first
    weights, so they are no independent measurements. The interval is that of the seeds' means.

    Args:
        trials: Completed trials of an alpha-beta grid.
    """
    scores = {(one.config.seed, one.config.alpha, one.config.beta): one.score for one in trials}
    differences = {}
    for (seed, alpha, beta), score in scores.items():
        if alpha and (seed, 0.0, beta) in scores:
            by_seed = differences.setdefault(alpha, {})
            by_seed.setdefault(seed, []).append(score - scores[seed, 0.0, beta])
    effects = []
    for alpha, by_seed in sorted(differences.items()):
        means = [float(np.mean(one)) for one in by_seed.values()]
        effects.append(Effect(alpha, *mean_interval(means), len(means)))
    return effects


def print_effects(effects: Sequence[Effect], objective: str) -> None:
    """Prints a line for each alpha."""
    print(f"\n{objective} against alpha 0, mean over seeds and betas, with 95 % intervals:")
    for one in effects:
        print(
            f"  alpha {one.alpha:<5g} {one.difference:+.4f} +- {one.half:.4f} "
            f"({one.seeds} seeds): {one.verdict}"
        )


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % interval; that is nan for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), math.nan
    freedom = len(values) - 1
    t = T_95[freedom - 1] if freedom <= len(T_95) else 1.96
    return float(np.mean(values)), float(t * np.std(values, ddof=1) / math.sqrt(len(values)))
