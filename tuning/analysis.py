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
from tuning.intervals import mean_interval
from tuning.store import SearchDir, SearchPlan, TrialDir
from tuning.trial import StoredPhotos, build_trial_model, train_head
from tuning.trials import Trial, show_value
from tuning.tuner import score_of

CONFIRMED = 3  # best trials


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
