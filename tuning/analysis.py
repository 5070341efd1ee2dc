"""How sure a result is: the best trained again with other seeds; the alpha-beta grid's answer."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from glr_keras import config as config_file
from glr_keras.runs.intervals import CONFIDENCE
from glr_keras.training.divergence import DivergedError
from glr_keras.training.train import train
from tfrecords.common.files import rename_durably, write_csv
from tuning.plan import SearchPlan
from tuning.store import SearchDir, TrialDir
from tuning.trial import StoredPhotos, build_trial_model, train_head
from tuning.trials import Trial, best_first, show_value
from tuning.tuner import score_of

NUM_CONFIRMED = 3  # best trials that are trained again
GRID = {"seed", "alpha", "beta"}  # dimensions of an alpha-beta grid


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % interval; that is nan for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), math.nan
    t = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(np.mean(values)), float(t * stats.sem(values))


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
    def standard_deviation(self) -> float:
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan


def confirm_best(
    search: SearchDir,
    plan: SearchPlan,
    photos: StoredPhotos,
    trials: Sequence[Trial],
    num_seeds: int,
) -> bool:
    """Trains the best few again with `num_seeds` new seeds; tests the one of the best mean.

    The search's own score of a winner is too good: it was the luckiest of many. So its seed is
    left out here, and every other that the search could draw. Views stay the same, as the backbone
    has run already. What was trained before an interruption is kept.

    Args:
        search: SearchDir.
        plan: SearchPlan.
        photos: StoredPhotos.
        trials: Trials, of which one at least is completed.
        num_seeds: Int, above 0.

    Returns:
        Whether there is a winner: one at least was trained to the end with each seed.
    """
    seeds = plan.unused_seeds(num_seeds)
    best = _without_repetitions(best_first(trials, plan.direction))[:NUM_CONFIRMED]
    print(f"\nTraining the best {len(best)} again with {num_seeds} new seeds.")
    found = []
    for trial in best:
        results = [_train_again(search, plan, photos, trial, seed) for seed in seeds]
        failed = [result["reason"] for result in results if "reason" in result]
        if failed:
            print(f"  trial {trial.trial_id}: failed with another seed: {failed[0]}", flush=True)
            continue
        one = Confirmation(trial, [result["score"] for result in results])
        found.append(one)
        _, half_width = mean_interval(one.scores)
        print(
            f"  trial {trial.trial_id}: {plan.objective} {one.mean:.4f}, standard deviation "
            f"{one.standard_deviation:.4f}, 95 % interval of the mean +- {half_width:.4f} (in the "
            f"search {trial.score:.4f})",
            flush=True,
        )
    if not found:
        return False
    _write_table(search, plan, found, seeds)
    pick = max if plan.direction == "max" else min
    winner = pick(found, key=lambda one: one.mean)
    _test_winner(search, winner.trial)
    return True


def _without_repetitions(best):
    """Leaves out trials that differ from a better one in their seed only."""
    kept = {}
    for trial in best:
        kept.setdefault(dataclasses.replace(trial.config, seed=0), trial)
    return list(kept.values())


def _train_again(search, plan, photos, trial, seed):
    """Returns a dict with the "score" of a trial's config and another seed, or the "reason"."""
    run = TrialDir(search.path / "confirm" / f"trial_{trial.trial_id}-seed_{seed}")
    if result := run.read_result():
        return result
    run.count_start()
    config = dataclasses.replace(trial.config, seed=seed)
    run.write_config(config)
    try:
        training = train_head(build_trial_model(config, photos), config, photos, run)
        result = {
            "score": score_of(training, plan),
            "best_epoch": training.state.best_epoch + 1,
        }
    except DivergedError as error:  # which ends this training, not the search
        result = {"reason": error.reason}
    run.delete_checkpoint()
    run.write_result(result)
    return result


def _write_table(search, plan, found, seeds):
    header = ["trial", "mean", "standard_deviation", *(f"seed_{seed}" for seed in seeds)]
    rows = []
    for one in found:
        values = {name: show_value(value) for name, value in one.trial.values.items()}
        shown = [values.get(name, "") for name in plan.names]
        rows.append([one.trial.trial_id, one.mean, one.standard_deviation, *one.scores, *shown])
    write_csv(search.path / "confirm.csv", [*header, *plan.names], rows)


def _test_winner(search, trial):
    """Makes a complete run of the winner, which measures it on the test photos."""
    config = dataclasses.replace(trial.config, run_dir=str(search.winner))
    _keep_earlier_winner(search, config)
    done = search.winner / "metrics.json"
    metrics = json.loads(done.read_text()) if done.exists() else train(config)
    test = metrics["test"]
    print(
        f"Winner: trial {trial.trial_id}. On the test photos, which nothing else has seen: "
        f"{test['accuracy']:.1%} of {test['photos']} correct. Its run: {search.winner}"
    )


def _keep_earlier_winner(search, config):
    """Gives the run of another winner, of fewer trials, the next free name: winner-1, winner-2."""
    before = search.winner / "config.json"
    if before.exists() and config_file.differences(config_file.read_json(before), config):
        names = (search.path / f"winner-{number}" for number in range(1, 10**6))
        rename_durably(search.winner, next(path for path in names if not path.exists()))


@dataclass(frozen=True)
class Effect:
    """What an alpha changes against alpha 0.

    Attributes:
        alpha: Float, above 0.
        difference: Mean over seeds of the difference in score.
        half_width: Of its 95 % interval; nan for a single seed.
        num_seeds: Int, how many seeds that is.
    """

    alpha: float
    difference: float
    half_width: float
    num_seeds: int

    @property
    def verdict(self) -> str:
        if not abs(self.difference) > self.half_width:
            return "no significant difference"
        return "higher" if self.difference > 0 else "lower"


def alpha_effects(trials: Sequence[Trial]) -> list[Effect]:
    """Compares each alpha with alpha 0, seed by seed.

    Of one seed, the differences at each beta are averaged first: they share their views and first
    weights, so they are no independent measurements. The interval is that of the seeds' means.

    Args:
        trials: Completed trials of an alpha-beta grid.
    """
    scores = {
        (one.config.seed, one.config.alpha, one.config.beta): one.score
        for one in trials
        if one.config is not None and one.score is not None
    }
    differences: dict[float, dict[int, list[float]]] = {}  # alpha -> seed -> one per beta
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
            f"  alpha {one.alpha:<5g} {one.difference:+.4f} +- {one.half_width:.4f} "
            f"({one.num_seeds} seeds): {one.verdict}"
        )
