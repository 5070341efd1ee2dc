"""What a user sees of a search: a line per trial that has ended, and TensorBoard's HParams page."""

import sys
import time
from collections.abc import Sequence

import tensorflow as tf
from tensorboard.plugins.hparams import api

from glr_keras.runs.run_dir import TrainingState
from tuning.plan import SearchPlan
from tuning.space import Dimension, config_of, encode
from tuning.store import SearchDir
from tuning.trials import Trial, best_first, show_value

WIDTH = 100  # characters of the line that is written over


class Progress:
    """Prints the table.

    Args:
        plan: SearchPlan.
        limit: Number of trials the search will have, None where it is not known.
    """

    def __init__(self, plan: SearchPlan, limit: int | None):
        self._plan, self._limit = plan, limit
        self._started, self._ended = time.monotonic(), 0
        self._over = sys.stdout.isatty()
        self._has_header = False

    def show(self, trials: list[Trial], trial: Trial) -> None:
        """Adds the line of a trial that has just ended."""
        if not self._has_header:
            print(f"{'trial':>9}  {'score':>7}  {'best':>7}  {'took':>6}  {'left':>7}", flush=True)
            self._has_header = True
        self._ended += 1
        done = sum(one.status != "running" for one in trials)
        best = best_first(trials, self._plan.direction)
        cells = [
            f"{done} of {self._limit}" if self._limit else str(done),
            self._show_score(trial.score),
            self._show_score(best[0].score if best else None),
            show_seconds(trial.seconds),
            self._show_left(done),
        ]
        line = "  ".join(f"{c:>{w}}" for c, w in zip(cells, (9, 7, 7, 6, 7), strict=True))
        values = "  ".join(f"{name} {show_value(value)}" for name, value in trial.values.items())
        if trial.status == "failed":
            values = f"FAILED: {trial.result.get('reason', 'no reason noted')}  ({values})"
        self._clear()
        print(f"{line}  {values}", flush=True)

    def tell(self, text: str) -> None:
        """Shows how far a trial is, in a line that the next one replaces; terminals only."""
        if self._over:
            print(f"\r{text:<{WIDTH}.{WIDTH}}", end="", flush=True)

    def _clear(self):
        if self._over:
            print("\r" + " " * WIDTH + "\r", end="")

    def _show_score(self, score):
        if score is None:
            return "-"
        return f"{score:.4f}" if self._plan.direction == "min" else f"{score:.2%}"

    def _show_left(self, done):
        if not self._limit:
            return "?"
        each = (time.monotonic() - self._started) / self._ended
        return show_seconds(each * max(self._limit - done, 0))


def show_seconds(seconds: float) -> str:
    """Writes a duration for people: "4.2 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def write_search_log(search: SearchDir, plan: SearchPlan) -> None:
    """Tells TensorBoard which hyperparameters and measures there are, once."""
    if any(search.logs.glob("events*")):
        return
    with tf.summary.create_file_writer(str(search.logs)).as_default():
        api.hparams_config(hparams=_hparams(plan.dimensions), metrics=[api.Metric(plan.objective)])


def write_trial_log(search: SearchDir, trial, state: TrainingState, plan: SearchPlan) -> None:
    """Writes hyperparameters and curves of one trial; its objective stands at its best epoch."""
    config = config_of(trial.hyperparameters.values, plan.base)
    folder = search.logs / trial.trial_id
    for old in folder.glob("events*"):  # of a trial that was killed
        old.unlink()
    values = {
        one.name: encode(getattr(config, one.name))
        for one in plan.dimensions
        if one.name in trial.hyperparameters.values
    }
    with tf.summary.create_file_writer(str(folder)).as_default():
        api.hparams(values, trial_id=trial.trial_id)
        for row in state.history:
            for name, value in row.items():
                if name not in ("epoch", plan.objective):
                    tf.summary.scalar(name, value, step=row["epoch"])
        for row in state.history[: state.best_epoch + 1]:  # HParams shows the last one
            tf.summary.scalar(plan.objective, row[plan.objective], step=row["epoch"])


def _hparams(dimensions: Sequence[Dimension]):
    return [
        api.HParam(
            one.name,
            api.Discrete([encode(value) for value in one.values])
            if one.values
            else api.RealInterval(float(one.low), float(one.high)),
        )
        for one in dimensions
    ]
