"""The trials of a search: what was tried, what came of it, where the time went, what is kept."""

import bisect
import collections
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError
from tfrecords.common.files import write_csv
from tuning.plan import SearchPlan
from tuning.space import config_of, decode
from tuning.store import SearchDir, TrialDir

PARTS = ("building", "tracing", "training", "writing")  # of the seconds of a trial
MIN_KEPT = 3  # checkpoints of the best trials


@dataclass(frozen=True)
class Trial:
    """A trial as it lies in its directory.

    Attributes:
        trial_id: Text of digits, in the order of starts.
        status: "running", "completed" or "failed".
        values: Hyperparameter -> value, those that were active.
        config: FitConfig it ran; None if `FitConfig` refuses its values.
        score: The objective at its best epoch; None unless completed.
        history: A row per epoch, as `history.csv` has it.
        result: What `result.json` holds: "best_epoch", "seconds", "reason".
    """

    trial_id: str
    status: str
    values: dict
    config: FitConfig | None
    score: float | None
    history: list[dict] = field(default_factory=list)
    result: dict = field(default_factory=dict)

    @property
    def number(self) -> int:
        return int(self.trial_id)

    @property
    def seconds(self) -> float:
        return sum(self.result.get("seconds", {}).values())

    @property
    def reason(self) -> str:
        """Why it failed."""
        return self.result.get("reason", "no reason was stored")


def read_trials(search: SearchDir, plan: SearchPlan) -> list[Trial]:
    """Reads all trials that have begun, in that order."""
    paths = search.trials.glob("trial_*/trial.json")
    trials = [_read_trial(TrialDir(path.parent), plan) for path in paths]
    return sorted(trials, key=lambda trial: trial.number)


def rank(trial: Trial, direction: str) -> tuple[float, int]:
    """Returns a key that sorts completed trials: the best first, of equals the earlier one."""
    if trial.score is None:
        raise ValueError(f"trial {trial.trial_id} has no score: it is not completed")
    return (-trial.score if direction == "max" else trial.score), trial.number


def best_first(trials: Collection[Trial], direction: str) -> list[Trial]:
    """Returns the completed trials in the order of `rank`."""
    completed = [trial for trial in trials if trial.status == "completed"]
    return sorted(completed, key=lambda trial: rank(trial, direction))


class TrialTable:
    """The trials that have ended, in memory and as `trials.csv`.

    A trial that ends costs the reading of its own directory, however many there are, and the
    writing of the table: 50 ms for 1,000 trials of 15 epochs.

    Args:
        search: SearchDir; what has ended there is read once.
        plan: SearchPlan.
    """

    def __init__(self, search: SearchDir, plan: SearchPlan):
        self._search, self._plan = search, plan
        ended = [one for one in read_trials(search, plan) if one.status != "running"]
        self._trials = {one.trial_id: one for one in ended}
        self._write()

    def __len__(self):
        return len(self._trials)

    @property
    def trials(self) -> list[Trial]:
        """The trials in the order of their starts."""
        return sorted(self._trials.values(), key=lambda trial: trial.number)

    @property
    def best(self) -> Trial | None:
        """The best trial, None as long as there is none with a score."""
        return next(iter(best_first(self.trials, self._plan.direction)), None)

    def add(self, trial_id: str) -> Trial:
        """Reads a trial that has just ended, and writes the table."""
        # It may be there already: where a chief was lost, two workers ran it.
        self._trials[trial_id] = _read_trial(self._search.trial(trial_id), self._plan)
        self._write()
        return self._trials[trial_id]

    def _write(self):
        trials = self.trials
        columns = _columns(trials, self._plan)
        rows = (_row(trial, self._plan) for trial in trials)
        cells = ([row.get(name, "") for name in columns] for row in rows)
        write_csv(self._search.table, columns, cells)


class CheckpointKeeper:
    """Drops the checkpoints of all but the best trials among those of as many epochs.

    Hyperband resumes a third of each rung; what was dropped begins again, to the same end.
    """

    def __init__(self, search: SearchDir, plan: SearchPlan):
        self._search, self._plan = search, plan
        # Epochs -> trials with a checkpoint, and how many were completed.
        self._ranked: dict[int, list[Trial]] = collections.defaultdict(list)
        self._completed: collections.Counter[int] = collections.Counter()

    def add(self, trial: Trial, in_use: Collection[str] = ()) -> None:
        """Takes a trial that has ended into account.

        Args:
            trial: Trial.
            in_use: Ids of trials whose checkpoints are being read.
        """
        if trial.status != "completed" or trial.config is None:
            return
        epochs = trial.config.epochs
        self._completed[epochs] += 1
        ranked, kept = self._ranked[epochs], MIN_KEPT
        bisect.insort(ranked, trial, key=lambda one: rank(one, self._plan.direction))
        if self._plan.tuner == "hyperband":
            kept = max(kept, math.ceil(self._completed[epochs] / 3))
        for place in reversed(range(kept, len(ranked))):
            if ranked[place].trial_id not in in_use:
                self._search.trial(ranked.pop(place).trial_id).delete_checkpoint()


def _read_trial(directory: TrialDir, plan: SearchPlan) -> Trial:
    stored = json.loads((directory.path / "trial.json").read_text(encoding="utf-8"))
    result = directory.read_result() or {}
    status = {"COMPLETED": "completed", "FAILED": "failed"}.get(stored["status"], "running")
    if status == "completed" and "score" not in result:
        status = "running"  # again, after a kill just before the search had stored its end
    values = stored["hyperparameters"]["values"]
    try:
        config = config_of(values, plan.base)
    except UserError:
        config = None
    return Trial(
        trial_id=stored["trial_id"],
        status=status,
        values={name: decode(name, values[name]) for name in plan.names if name in values},
        config=config,
        score=result.get("score") if status == "completed" else None,
        history=directory.read_history() if directory.history.exists() else [],
        result=result,
    )


def _columns(trials, plan):
    accuracies = {name for one in trials for row in one.history for name in row if _is_shown(name)}
    epochs = max([len(trial.history) for trial in trials], default=0)
    columns = [
        *("trial", "status", plan.objective, "best_epoch", "epochs", *plan.names, "seconds"),
        *(f"seconds_{part}" for part in PARTS),
        *(f"{name}_{epoch}" for name in sorted(accuracies) for epoch in range(1, epochs + 1)),
        "reason",
    ]
    return list(dict.fromkeys(columns))  # the epochs may be searched, too


def _is_shown(name):
    return name.startswith("val_") and name.endswith("accuracy")


def _row(trial, plan):
    seconds = trial.result.get("seconds", {})
    row = {
        "trial": trial.trial_id,
        "status": trial.status,
        plan.objective: "" if trial.score is None else trial.score,
        "best_epoch": trial.result.get("best_epoch", ""),
        "epochs": len(trial.history),
        "seconds": round(trial.seconds, 2) if seconds else "",
        "reason": trial.result.get("reason", ""),
    }
    row |= {name: show_value(value) for name, value in trial.values.items()}
    row |= {f"seconds_{part}": round(value, 2) for part, value in seconds.items()}
    for epoch, logs in enumerate(trial.history, 1):
        row |= {f"{name}_{epoch}": value for name, value in logs.items() if _is_shown(name)}
    return row


def show_value(value) -> str:
    """Writes a hyperparameter for people: "512 512" for the units of two layers."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
