"""What a user sees of a search: a line per trial that has ended, and TensorBoard's HParams page."""

import sys
import time
from collections.abc import Sequence

import tensorflow as tf
from tensorboard.plugins.hparams import api

from glr_keras.runs.run_dir import TrainingState
from tuning.plan import SearchPlan
from tuning.space import Dimension, decode, encode
from tuning.store import SearchDir
from tuning.trials import Trial, show_value

LINE_WIDTH = 100  # characters of the line that is written over
COLUMNS = {"trial": 9, "score": 7, "best": 7, "took": 6, "left": 7}  # and their widths


class Progress:
    """Prints the table.

    Args:
        plan: SearchPlan.
        limit: Number of trials the search will have, None where it is not known.
    """

    def __init__(self, plan: SearchPlan, limit: int | None):
        self._plan, self._limit = plan, limit
        self._started, self._ended = time.monotonic(), 0
        self._is_terminal = sys.stdout.isatty()

    def add(self, trial: Trial, num_ended: int, best: Trial | None) -> None:
        """Adds the line of a trial that has just ended.

        Args:
            trial: That trial.
            num_ended: How many have ended, in earlier sessions, too.
            best: The best of them, None where none has a score.
        """
        if not self._ended:
            print("  ".join(f"{name:>{width}}" for name, width in COLUMNS.items()), flush=True)
        self._ended += 1
        cells = [
            f"{num_ended} of {self._limit}" if self._limit else str(num_ended),
            show_score(trial.score, self._plan),
            show_score(best.score if best else None, self._plan),
            show_seconds(trial.seconds),
            self._show_left(num_ended),
        ]
        line = "  ".join(f"{c:>{w}}" for c, w in zip(cells, COLUMNS.values(), strict=True))
        values = "  ".join(f"{name} {show_value(value)}" for name, value in trial.values.items())
        if trial.status == "failed":
            values = f"FAILED: {trial.reason}  ({values})"
        if self._is_terminal:
            print("\r" + " " * LINE_WIDTH + "\r", end="")
        print(f"{line}  {values}", flush=True)

    def report(self, text: str) -> None:
        """Shows how far a trial is, in a line that the next one replaces; terminals only."""
        if self._is_terminal:
            print(f"\r{text:<{LINE_WIDTH}.{LINE_WIDTH}}", end="", flush=True)

    def _show_left(self, num_ended):
        if not self._limit:
            return "?"
        each = (time.monotonic() - self._started) / self._ended
        return show_seconds(each * max(self._limit - num_ended, 0))


def show_score(score: float | None, plan: SearchPlan) -> str:
    """Writes an objective for people: an accuracy in per cent, a loss as it is."""
    if score is None:
        return "-"
    return f"{score:.4f}" if plan.direction == "min" else f"{score:.2%}"


def show_seconds(seconds: float) -> str:
    """Writes a duration for people: "4.2 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def write_search_log(search: SearchDir, plan: SearchPlan) -> None:
    """Writes which hyperparameters and measures there are, for TensorBoard's HParams page."""
    _remove_events(search.logs)
    with tf.summary.create_file_writer(str(search.logs)).as_default():
        api.hparams_config(hparams=_hparams(plan.dimensions), metrics=[api.Metric(plan.objective)])


def write_trial_log(search: SearchDir, trial, state: TrainingState, plan: SearchPlan) -> None:
    """Writes hyperparameters and curves of one trial; its objective stands at its best epoch."""
    folder = search.logs / trial.trial_id
    _remove_events(folder)
    drawn = trial.hyperparameters.values
    values = {name: encode(decode(name, drawn[name])) for name in plan.names if name in drawn}
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


def _remove_events(folder):
    """Removes what an earlier start wrote: a kill may have cut it short."""
    for old in folder.glob("events*"):
        old.unlink()
