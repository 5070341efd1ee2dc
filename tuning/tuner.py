"""Runs trials for an oracle: this process's, or that of a chief elsewhere."""

import time
from collections.abc import Callable
from pathlib import Path

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError

from glr_keras import config as config_file
from glr_keras.training.checkpoint import DivergedError
from tfrecords.common.console import UserError
from tuning.display import write_trial_log
from tuning.plan import SearchPlan
from tuning.space import RUNG, config_of
from tuning.store import MOST_STARTS, SearchDir, TrialDir
from tuning.trial import HeadHyperModel, Training
from tuning.trials import best_first, read_trials

KEPT = 3  # best trials whose checkpoints stay
POLL = 0.5  # seconds between two questions to an oracle that has nothing to do yet


class SearchTuner(BaseTuner):
    """Asks an oracle for trials until it has no more; writes what became of each.

    Args:
        oracle: From `make_oracle`; of a worker, it only knows what to ask the chief for.
        hypermodel: HeadHyperModel.
        search: SearchDir.
        plan: SearchPlan.
        tell: Called with a line of progress after each epoch, or None.
    """

    def __init__(
        self,
        oracle,
        hypermodel: HeadHyperModel,
        search: SearchDir,
        plan: SearchPlan,
        tell: Callable[[str], None] | None = None,
    ):
        self._search, self._plan, self._tell = search, plan, tell
        self._has_asked = False
        super().__init__(
            oracle, hypermodel, directory=str(search.path), project_name=search.trials.name
        )

    def _populate_initial_space(self):
        """Goes on with the search that is there. The space is known: no model must be built."""
        if not self._is_worker() and Path(self.oracle._get_oracle_fname()).exists():
            self.oracle.reload()

    def save(self):
        """Keeps nothing of its own: the oracle saves itself with each trial."""

    def pre_create_trial(self):
        if self._has_asked:  # and got nothing: without a pause KerasTuner asks in a tight loop
            time.sleep(POLL)
        self._has_asked = True

    def on_trial_begin(self, trial):
        self._has_asked = False

    def run_trial(self, trial):
        """Trains one head; returns its score. Whatever fails is the trial's, not the search's."""
        run = TrialDir(Path(self.get_trial_dir(trial.trial_id)), self._parent(trial))
        if run.count_start() > MOST_STARTS:
            raise self._fail(
                run,
                f"the process ended {MOST_STARTS} times while this trial ran; perhaps the system "
                "had no memory left",
            )
        try:
            return self._train(trial, run)
        except KeyboardInterrupt:
            run.forget_start()
            raise
        except Exception as error:
            run.drop_checkpoint()
            raise self._fail(run, explain_failure(error)) from error

    def _train(self, trial, run):
        started = time.perf_counter()
        hp = trial.hyperparameters
        config = config_of(hp.values, self._plan.base)
        run.write_text("config.json", config_file.to_json(config))
        model = self.hypermodel.build(hp)
        built = time.perf_counter()
        training = self.hypermodel.fit(hp, model, run, self._telling(trial, config))
        trained = time.perf_counter()
        score = score_of(training, self._plan)
        self._keep_best(run, trial, config, score, training)
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

    def _telling(self, trial, config):
        if self._tell is None:
            return None
        branch = "val_perception_accuracy"

        def tell(history):
            self._tell(
                f"trial {trial.trial_id}: epoch {len(history)} of {config.epochs}, "
                f"{history[-1][branch]:.1%} so far"
            )

        return tell

    def _parent(self, trial):
        """Returns the directory of the trial that Hyperband goes on with, if that can be exact.

        A cosine schedule depends on the last epoch, so a longer trial is another from the start.
        """
        values = trial.hyperparameters.values
        config = config_of(values, self._plan.base)
        if "tuner/trial_id" not in values or config.schedule == "cosine":
            return None
        path = Path(self.get_trial_dir(values["tuner/trial_id"]))
        return path if (path / "checkpoint" / "state.json").exists() else None

    def _keep_best(self, run, trial, config, score, training):
        """Keeps the checkpoint of this trial if it is among the best of as many epochs.

        With Hyperband a third of a rung goes on; one that is not kept begins again, to the same
        end.
        """
        others = [
            one
            for one in read_trials(self._search, self._plan)
            if one.config.epochs == config.epochs and one.trial_id != trial.trial_id
        ]
        is_hyperband = RUNG in trial.hyperparameters.values
        kept = max(KEPT, -(-(len(others) + 1) // 3)) if is_hyperband else KEPT
        sign = 1 if self._plan.direction == "max" else -1
        ranked = best_first(others, self._plan.direction)
        better = [one for one in ranked if sign * one.score >= sign * score]
        if len(better) < kept:
            run.keep_checkpoint(training.state, training.variables)
            ranked.insert(len(better), None)
        else:
            run.drop_checkpoint()
        for one in ranked[kept:]:
            TrialDir(Path(self.get_trial_dir(one.trial_id))).drop_checkpoint()


def score_of(training: Training, plan: SearchPlan) -> float:
    """Returns the objective at the epoch that a run keeps: that of the best validation accuracy."""
    return training.state.history[training.state.best_epoch][plan.objective]


def explain_failure(error: Exception) -> str:
    """Returns the reason why a trial failed, in one line."""
    if isinstance(error, DivergedError):
        return error.reason
    first, *_ = str(error).splitlines() or [""]
    if isinstance(error, UserError):
        return first
    return f"{type(error).__name__}: {first[:300]}"
