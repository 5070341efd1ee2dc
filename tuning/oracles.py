"""KerasTuner's oracles, which choose what to try next, made to survive what a search may meet."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras_tuner
import numpy as np
from keras_tuner import oracles
from threadpoolctl import threadpool_limits

from tfrecords.common.files import write_atomically
from tuning.plan import SearchPlan
from tuning.space import declare, why_refused

MAX_FAILURES = 3  # in a row, after which a search stops
MAX_REDRAWS = 1000  # of combinations that are refused; then nearly all are


class ResumableOracleMixin:
    """What all our oracles do otherwise than KerasTuner's 1.4.8.

    - A kill at any moment leaves a search that can be resumed: files are written atomically
      (`save`, `_save_trial`). There, a file that was being written is empty afterwards.
    - A trial that was begun, but is not in the oracle's own file, is drawn again (`reload`). There,
      it is lost.
    - The state of randomness depends on seed and number of trials only, after a resume, too
      (`populate_space`); and seed 0 is a seed. There, 0 means a random one.
    - Three failed trials in a row end the search in order (`populate_space`, `end_trial`). There,
      an exception leaves a lock behind, and a chief waits for ever.
    - Combinations that `FitConfig` refuses are not drawn (`_random_values`).
    - Trials stay in the order of their numbers beyond 9,999 (`reload`). There, it is that of text.

    Attributes:
        limit: Largest number of trials, None for no limit.
        is_accepted: Says of values whether `FitConfig` takes them.
        on_end: Called with each trial that has ended.
        failures: Failed trials in a row, in this session.
    """

    max_trials: int | None  # of KerasTuner's Oracle, like the next
    verbose: int
    limit: int | None = None
    is_accepted: Callable[[dict], bool]
    on_end: Callable | None = None
    failures = 0

    def populate_space(self, trial_id):
        stopped = self.failures >= MAX_FAILURES
        if stopped or (self.limit and len(self.trials) >= self.limit):
            return {"status": "STOPPED", "values": None}
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        return super().populate_space(trial_id)

    def _random_values(self):
        for _ in range(MAX_REDRAWS):
            values = super()._random_values()
            if values is None or self.is_accepted(values):
                return values
        return None

    def end_trial(self, trial):
        # As drawn, not as it came back through float32 of a worker's message.
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        super().end_trial(trial)
        ended = self.trials[trial.trial_id]
        self.failures = self.failures + 1 if ended.status == "FAILED" else 0
        if self.on_end:
            self.on_end(ended)

    def save(self):
        write_atomically(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        write_atomically(path, json.dumps(trial.get_state()))

    def reload(self):
        """Resumes what was saved; trials that had begun are repeated first."""
        super().reload()
        # The file is written before a trial that has ended is struck off those at work.
        waiting = set(self._retry_queue) - set(self.end_order)
        for trial_id in set(self.trials) - set(self.start_order):
            shutil.rmtree(self._get_trial_dir(trial_id))
        # In their order: the Gaussian process rounds otherwise with its rows in another.
        self.trials = {one: self.trials[one] for one in sorted(self.start_order, key=int)}
        for trial_id in waiting:
            self.trials[trial_id].metrics.metrics.clear()
        self._retry_queue = sorted(waiting, key=int, reverse=True)  # taken from its end


class RandomOracle(ResumableOracleMixin, oracles.RandomSearchOracle):
    pass


class BayesianOracle(ResumableOracleMixin, oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id):
        # Its matrices have a few dozen rows. Threads that wait for each other made a draw take a
        # third more processor time, and far longer where other processes want the cores.
        with threadpool_limits(1):
            drawn = super().populate_space(trial_id)
            if drawn["values"] and not self.is_accepted(drawn["values"]):
                return self._random_populate_space()
            return drawn


class HyperbandOracle(ResumableOracleMixin, oracles.HyperbandOracle):
    pass


class Combinations(keras_tuner.Oracle):
    """Every combination in turn, the last hyperparameter fastest; 10 values of a range.

    KerasTuner's own grid does not save where it is: after a resume it stops at once.
    """

    _drawn = -1  # combinations that were taken from the iterator; none is made yet

    def populate_space(self, trial_id):
        if self._drawn != len(self.trials):  # after a resume
            accepted = filter(self.is_accepted, _combinations(self.hyperparameters.space, {}))
            tried = [one.hyperparameters.values for one in self.trials.values()]
            tried = sum(map(self.is_accepted, tried))
            self._remaining = itertools.islice(accepted, tried, None)
            self._drawn = len(self.trials)
        self._drawn += 1
        values = next(self._remaining, None)
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}


class GridOracle(ResumableOracleMixin, Combinations):
    pass


ORACLES = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}


def make_oracle(plan: SearchPlan, limit: int | None) -> keras_tuner.Oracle:
    """Makes the oracle of a search; `SearchTuner` resumes what it has begun.

    Args:
        plan: SearchPlan.
        limit: Largest number of trials.
    """
    space = keras_tuner.HyperParameters()
    declare(space, plan.dimensions, plan.base)
    settings = {
        "objective": keras_tuner.Objective(plan.objective, plan.direction),
        "hyperparameters": space,
        "seed": plan.base.seed + 1,
        "max_consecutive_failed_trials": 10**9,  # `ResumableOracleMixin` counts them
    }
    if plan.tuner == "hyperband":
        settings |= {"max_epochs": plan.base.epochs, "hyperband_iterations": 10**6}
    oracle = ORACLES[plan.tuner](**settings)
    oracle.max_trials = None  # ids have four digits then, whatever the limit
    oracle.limit = limit
    oracle.is_accepted = lambda values: not why_refused(values, plan.base)
    oracle.verbose = 0
    return oracle


def _combinations(space, values):
    """Yields all values of the hyperparameters in `space`, without the inactive ones."""
    if not space:
        yield values
        return
    first, *rest = space
    if not all(condition.is_active(values) for condition in first.conditions):
        yield from _combinations(rest, values)
        return
    is_choice = isinstance(first, keras_tuner.engine.hyperparameters.Choice)
    for value in first.values if is_choice else sorted(first.values):
        yield from _combinations(rest, values | {first.name: value})
