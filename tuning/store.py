"""SearchDir and TrialDir: where everything of a search lies; what a search is, so it can resume."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from glr_keras import config as config_file
from glr_keras.config import FitConfig
from glr_keras.runs.run_dir import Below, RunDir, TrainingState
from tfrecords.common.console import UserError
from tfrecords.common.files import (
    LOCK,
    delete_temporary,
    locked,
    unexpected_files,
    writable,
    write_atomically,
    write_json,
)
from tuning.plan import SearchPlan

MAX_STARTS = 3  # of one trial: a process that is killed so often in it has no memory for it


@dataclass(frozen=True)
class SearchDir:
    """The directory of one search. `search.json` makes it one."""

    path: Path

    plan = Below("search.json")
    trials = Below("trials")
    table = Below("trials.csv")
    best_config = Below("best_config.json")
    logs = Below("logs")
    winner = Below("winner")

    def trial(self, trial_id: str, parent: Path | None = None) -> "TrialDir":
        """Names the directory of a trial, as KerasTuner does."""
        return TrialDir(self.trials / f"trial_{trial_id}", parent)

    def figure(self, name: str) -> Path:
        """Names a picture, as PNG, and makes its folder."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.png"

    def read_plan(self) -> dict:
        """Returns what `bind` wrote.

        Raises:
            UserError: it is damaged.
        """
        try:
            return json.loads(self.plan.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self.plan} is damaged ({error}). Name another --out, or delete this one."
            ) from error

    def check(self, plan: SearchPlan, inputs: dict | None = None) -> None:
        """Finds whether a search of `plan` can start or resume here; writes nothing.

        Args:
            plan: SearchPlan.
            inputs: What else the trials depend on, where it is known already.

        Raises:
            UserError: another search is here, and the message names what differs, or other files.
        """
        if self.plan.exists():
            if changed := list(_differences(self.read_plan(), plan.to_json() | (inputs or {}))):
                raise UserError(
                    f"{self.path} holds another search: {'; '.join(changed)}. Name another --out, "
                    "or delete this one."
                )
        elif self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file. Name another --out: a folder.")
        elif others := unexpected_files(self.path):
            raise UserError(
                f"{self.path} is not empty and holds no search ({', '.join(others[:3])}...). "
                "Name another --out."
            )

    @contextmanager
    def locked(self, plan: SearchPlan) -> Iterator[None]:
        """Makes the directory and holds it for a search of `plan`.

        Raises:
            UserError: as `check`, or another process holds it, or it can't be written.
        """
        self.check(plan)  # before anything is made in a folder of something else
        message = (
            f"Another process is at work in {self.path}. Wait for it to end, or name another --out."
        )
        with ExitStack() as stack:
            with writable(self.path, "--out"):
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.path / LOCK, message))
            self.check(plan)  # again: another process may have begun a search meanwhile
            for folder in (self.path, self.trials, self.path / "figures"):
                delete_temporary(folder)  # a worker may be writing in those of the trials
            yield

    def bind(self, plan: SearchPlan, inputs: dict) -> None:
        """Stores what the search is, where it begins; its features are complete then.

        Args:
            plan: SearchPlan.
            inputs: "records" and "backbone_weights", hashes; "precision" of the backbone.
        """
        if not self.plan.exists():
            write_json(self.plan, plan.to_json() | inputs)


@dataclass(frozen=True)
class TrialDir(RunDir):
    """The directory of one trial: a run that is not saved while it trains, since trials are short.

    KerasTuner keeps its `trial.json` there, too.

    Attributes:
        parent: Directory of the trial whose training this one resumes, or None.
    """

    parent: Path | None = None

    result = Below("result.json")

    def load_state(self) -> TrainingState:
        if self.parent is None:
            return TrainingState()
        parent = RunDir(self.parent)
        try:
            state = parent.load_state()
            best = self.best_weights(state.best_epoch)
            best.parent.mkdir(exist_ok=True)
            shutil.copyfile(parent.best_weights(state.best_epoch), best)
            return state
        except (OSError, UserError):  # dropped or damaged: from the first epoch, to the same end
            return TrainingState()

    def save_state(self, state, variables):
        """Keeps nothing but the best weights: a trial that is killed is repeated."""

    def read_result(self) -> dict | None:
        """Returns what `write_result` wrote, None where the trial has not ended."""
        if not self.result.exists():
            return None
        return json.loads(self.result.read_text(encoding="utf-8"))

    def write_result(self, result: dict) -> None:
        write_json(self.result, result)

    def write_config(self, config: FitConfig) -> None:
        write_atomically(self.config, config_file.to_json(config))

    def count_start(self) -> int:
        """Counts that the trial begins; returns how often it has, this time included.

        What an earlier start left is dropped.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        starts = self.path / "starts"
        count = 1 + (len(starts.read_text()) if starts.exists() else 0)
        starts.write_text("x" * count)
        for name in ("result.json", "history.csv"):
            (self.path / name).unlink(missing_ok=True)
        delete_temporary(self.path)
        self.delete_checkpoint()
        return count

    def forget_start(self) -> None:
        """Takes back `count_start`: the user interrupted the trial, it did not end the process."""
        (self.path / "starts").unlink(missing_ok=True)

    def keep_checkpoint(self, state, variables) -> None:
        """Keeps the best weights and, where training may be resumed, all that takes."""
        super().save_state(state, variables)


def _differences(before, now):
    """Yields a text for each difference of two plans, as `SearchPlan.to_json` and `bind` write."""
    for name in ("tuner", "objective"):
        if before[name] != now[name]:
            yield f"{name} was {before[name]}, now {now[name]}"
    for name in sorted(before["space"] | now["space"]):
        old, new = before["space"].get(name), now["space"].get(name)
        if old != new:
            yield f"space of {name} was {_show(old)}, now {_show(new)}"
    old, new = (
        config_file.from_flags(config_file.EARLIER_VALUES | plan["base"], FitConfig())
        for plan in (before, now)
    )
    yield from config_file.differences(old, new)
    for name in ("records", "backbone_weights", "precision"):
        if name in now and before[name] != now[name]:
            yield f"{name.replace('_', ' ')} were {before[name][:12]}, now {now[name][:12]}"


def _show(dimension):
    if dimension is None:
        return "not searched"
    if dimension["values"]:
        return str(dimension["values"])
    return f"{dimension['low']:g} to {dimension['high']:g} ({dimension['sampling']})"
