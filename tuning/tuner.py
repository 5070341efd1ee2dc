"""Runs trials for an oracle: this process's, or that of a chief elsewhere."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError

from glr_keras.training.divergence import DivergedError
from tfrecords.common.console import UserError
from tuning.display import show_score, write_trial_log
from tuning.plan import SearchPlan
from tuning.space import RUNG, config_of
from tuning.store import MAX_STARTS, SearchDir
from tuning.trial import HeadHyperModel, Training, share_schedule

POLL_SECONDS = 0.5  # between two questions to an oracle that has nothing to do yet


class SearchTuner(BaseTuner):
    """Asks an oracle for trials until it has no more; writes what became of each.

    Args:
        oracle: From `make_oracle`; of a worker, it only knows what to ask the chief for.
        hypermodel: HeadHyperModel.
        search: SearchDir.
        plan: SearchPlan.
        report: Called with a line of progress after each epoch, or None.
    """

    def __init__(
        self,
        oracle,
        hypermodel: HeadHyperModel,
        search: SearchDir,
        plan: SearchPlan,
        report: Callable[[str], None] | None = None,
    ):
        self._search, self._plan, self._report = search, plan, report
        self._has_asked = False
        super().__init__(
            oracle, hypermodel, directory=str(search.path), project_name=search.trials.name
        )

    def _populate_initial_space(self):
        """Resumes the search that is there. The space is known: no model must be built."""
        if not self._is_worker() and Path(self.oracle._get_oracle_fname()).exists():
            self.oracle.reload()

    def save(self):
        """Keeps nothing of its own: the oracle saves itself with each trial."""

    def pre_create_trial(self):
        if self._has_asked:  # and got nothing: without a pause KerasTuner asks in a tight loop
            time.sleep(POLL_SECONDS)
        self._has_asked = True

    def on_trial_begin(self, trial):
        self._has_asked = False

    def run_trial(self, trial):
        """Trains one head; returns its score. Whatever fails is the trial's, not the search's."""
        run = self._search.trial(trial.trial_id)
        if run.count_start() > MAX_STARTS:
            raise self._fail(
                run,
                f"the process ended {MAX_STARTS} times while this trial ran; perhaps the system "
                "had no memory left",
            )
        try:
            return self._train(trial)
        except (KeyboardInterrupt, SystemExit):  # the second where a launcher stops its workers
            run.forget_start()
            raise
        except Exception as error:
            run.delete_checkpoint()
            raise self._fail(run, explain_failure(error)) from error

    def _train(self, trial):
        started = time.perf_counter()
        hp = trial.hyperparameters
        config = config_of(hp.values, self._plan.base)
        run = self._search.trial(trial.trial_id, self._find_parent(hp.values, config))
        run.write_config(config)
        model = self.hypermodel.build(hp)
        built = time.perf_counter()
        training = self.hypermodel.fit(hp, model, run, self._make_reporter(trial, config))
        trained = time.perf_counter()
        score = score_of(training, self._plan)
        run.keep_checkpoint(training.state, training.variables)
        write_trial_log(self._search, trial, training.state, self._plan)
        written = time.perf_counter() - trained
        run.write_result(
            {
                "score": score,
                "best_epoch": training.state.best_epoch + 1,
                "epochs": config.epochs,
                "seconds": {"building": built - started, **training.seconds, "writing": written},
            }
        )
        return {self._plan.objective: score}

    def _fail(self, run, reason):
        run.write_result({"reason": reason})
        return FailedTrialError(reason)

    def _make_reporter(self, trial, config):
        if self._report is None:
            return None

        def report(history):
            score = show_score(history[-1][self._plan.objective], self._plan)
            self._report(
                f"trial {trial.trial_id}: epoch {len(history)} of {config.epochs}, {score} so far"
            )

        return report

    def _find_parent(self, values, config):
        """Returns the directory of the trial that Hyperband resumes, if that can be exact."""
        if "tuner/trial_id" not in values:
            return None
        shorter = values | {RUNG: values["tuner/initial_epoch"]}
        parent = self._search.trial(values["tuner/trial_id"]).path
        steps = self.hypermodel.photos.steps(config)
        if not share_schedule(config_of(shorter, self._plan.base), config, steps):
            return None
        return parent if (parent / "checkpoint" / "state.json").exists() else None


def score_of(training: Training, plan: SearchPlan) -> float:
    """Returns the objective at the epoch that a run keeps: that of the best validation accuracy.

    Raises:
        DivergedError: it is not a finite number.
    """
    score = training.state.history[training.state.best_epoch][plan.objective]
    if not math.isfinite(score):
        raise DivergedError(f"{plan.objective} is not a finite number", "Take another objective.")
    return score


def explain_failure(error: Exception) -> str:
    """Returns the reason why a trial failed, in one line."""
    if isinstance(error, DivergedError):
        return error.reason
    first, *_ = str(error).splitlines() or [""]
    if isinstance(error, UserError):
        return first
    return f"{type(error).__name__}: {first[:300]}"
