"""The trials of a search as a table: what was tried, what came of it, and where the time went."""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

from glr_keras.config import FitConfig
from tuning.plan import SearchPlan
from tuning.space import config_of
from tuning.store import SearchDir, TrialDir

BRANCHES = ("perception", "attention")
PARTS = ("building", "tracing", "training", "writing")  # of the seconds of a trial


@dataclass(frozen=True)
class Trial:
    """A trial as its directory tells it.

    Attributes:
        trial_id: Text of digits, in the order of starts.
        status: "running", "completed" or "failed".
        values: Hyperparameter -> value, those that were active.
        config: FitConfig it ran.
        score: The objective at its best epoch; None unless completed.
        history: A row per epoch, as `history.csv` has it.
        result: What `result.json` holds: "best_epoch", "seconds", "reason".
    """

    trial_id: str
    status: str
    values: dict
    config: FitConfig
    score: float | None
    history: list[dict] = field(default_factory=list)
    result: dict = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.result.get("seconds", {}).values())


def read_trials(search: SearchDir, plan: SearchPlan) -> list[Trial]:
    """Reads all trials that have begun, in that order."""
    paths = sorted(search.trials.glob("trial_*/trial.json"))
    return [_read_trial(path, plan) for path in paths]


def best_first(trials: list[Trial], direction: str) -> list[Trial]:
    """Returns the completed trials, best score first, of equals the earlier one."""
    scored = [trial for trial in trials if trial.status == "completed"]
    sign = -1 if direction == "max" else 1
    return sorted(scored, key=lambda trial: (sign * trial.score, trial.trial_id))


def write_table(search: SearchDir, plan: SearchPlan, trials: list[Trial]) -> None:
    """Writes `trials.csv`: a row per trial, with the validation accuracy of every epoch."""
    names = [dimension.name for dimension in plan.dimensions]
    epochs = max([len(trial.history) for trial in trials], default=0)
    accuracies = [
        f"val_{branch}_accuracy_{epoch}" for branch in BRANCHES for epoch in range(1, epochs + 1)
    ]
    parts = [f"seconds_{part}" for part in PARTS]
    columns = ["trial", "status", plan.objective, "best_epoch", "epochs", *names, "seconds"]
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [*columns, *parts, *accuracies, "reason"], lineterminator="\n", restval=""
    )
    writer.writeheader()
    for trial in trials:
        writer.writerow(_row(trial, plan))
    search.run.write_text(search.table.name, out.getvalue())


def _read_trial(path: Path, plan: SearchPlan) -> Trial:
    kept = json.loads(path.read_text(encoding="utf-8"))
    directory = TrialDir(path.parent)
    status = {"COMPLETED": "completed", "FAILED": "failed"}.get(kept["status"], "running")
    values = kept["hyperparameters"]["values"]
    result = directory.read_result() or {}
    config = config_of(values, plan.base)
    return Trial(
        trial_id=kept["trial_id"],
        status=status,
        values={
            one.name: getattr(config, one.name) for one in plan.dimensions if one.name in values
        },
        config=config,
        score=result.get("score") if status == "completed" else None,
        history=_read_history(directory.path / "history.csv"),
        result=result,
    )


def _read_history(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


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
        for branch in BRANCHES:
            if f"val_{branch}_accuracy" in logs:
                row[f"val_{branch}_accuracy_{epoch}"] = logs[f"val_{branch}_accuracy"]
    return row


def show_value(value) -> str:
    """Writes a hyperparameter for people: "512 512" for the units of two layers."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
