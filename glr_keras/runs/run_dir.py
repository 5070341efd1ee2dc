"""RunDir: names and writes every file of a run, each whole or not at all."""

import csv
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np

from glr_keras import config as config_file
from glr_keras.config import FitConfig
from glr_keras.runs.arrays import StoredArray, load_arrays, save_arrays
from glr_keras.runs.environment import describe_environment
from tfrecords.common.console import UserError

LOCK = ".lock"


@dataclasses.dataclass
class TrainingState:
    """Where training stands: all that going on exactly needs.

    Attributes:
        step: Training steps done, over all epochs.
        history: One dict per epoch done.
        best_epoch: Index of the best epoch so far; -1 before the first one ends.
        finished: Whether training is over, and only the best weights still count.
        variables: Values of all variables that training changes, in order; those of the metrics,
            too, which carry the sums of an epoch that is not over.
    """

    step: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)
    best_epoch: int = -1
    finished: bool = False
    variables: list[StoredArray] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class RunDir:
    """The directory of one run. `metrics.json` comes last: it is there when the run is complete."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "model.keras"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def is_complete(self) -> bool:
        return self.metrics.exists()

    def figure(self, name: str) -> Path:
        """Where the figure `name` goes, as PNG."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.png"

    def check(self, config: FitConfig) -> None:
        """Finds whether a run of `config` can start or go on here; writes nothing.

        Raises:
            UserError: the directory holds a run of another config, or other files.
        """
        path = self.path / "config.json"
        if path.exists():
            if changed := config_file.differences(config_file.read_json(path), config):
                raise UserError(
                    f"{self.path} holds a run of another config: {'; '.join(changed)}. "
                    "Name another --run-dir, or delete this one."
                )
        elif self.path.exists() and (others := self._strangers()):
            raise UserError(
                f"{self.path} is not empty and holds no run ({', '.join(others[:3])}...). "
                "Name another --run-dir."
            )

    def start(self, config: FitConfig) -> None:
        """Claims the directory for `config`.

        Raises:
            UserError: as `check`, or it can't be written.
        """
        try:
            self.check(config)
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_text("config.json", config_file.to_json(config))
        except OSError as error:
            raise UserError(
                f"Can't write to {self.path} ({error.strerror}). Name another --run-dir."
            ) from error

    def bind(self, records: str, weights: str, precision: str) -> None:
        """Notes what the run depends on besides its config; on resume, refuses a change of it.

        Args:
            records: Fingerprint of the records.
            weights: Hash of the backbone's weights.
            precision: "float32" or "bfloat16", of the backbone.
        """
        path = self.path / "environment.json"
        inputs = {"records": records, "backbone_weights": weights, "precision": precision}
        if not path.exists():
            self.write_json("environment.json", inputs | describe_environment())
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := [name for name, value in inputs.items() if before[name] != value]:
            raise UserError(
                f"{self.path} was started with other {', '.join(changed).replace('_', ' ')}, so "
                "it can't go on exactly. Name another --run-dir, or delete this one."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory; the system lets go of it when this process ends, however it does.

        Raises:
            UserError: another process holds it.
        """
        lock = filelock.FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise UserError(
                f"Another process is at work in {self.path}. Wait for it to end, or name another "
                "--run-dir."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _strangers(self):
        ours = ("config.json.tmp", LOCK)
        return sorted(path.name for path in self.path.iterdir() if path.name not in ours)

    def write_text(self, name: str, text: str) -> None:
        temporary = self.path / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.path / name)

    def write_json(self, name: str, values: dict) -> None:
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    def write_history(self, rows: list[dict]) -> None:
        out = io.StringIO()
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text("history.csv", out.getvalue())

    def save_state(self, state: TrainingState, variables: Iterable[np.ndarray]) -> None:
        """Keeps `state` in place of the last one.

        Everything new is on disk under its own name before `state.json` names it, so a kill at
        any moment leaves either the last state whole or this one.

        Args:
            state: What to keep; `save_best` has written the weights of its best epoch.
            variables: In place of `state.variables`, one by one: all at once may fill the memory.
        """
        folder = self.path / "checkpoint"
        folder.mkdir(exist_ok=True)
        if not state.finished:
            save_arrays(folder / _state_file(state), variables)
        summary = {
            name: getattr(state, name) for name in ("step", "history", "best_epoch", "finished")
        }
        self.write_json("checkpoint/state.json", summary)
        for path in folder.iterdir():
            best = self.best_weights(state.best_epoch).name
            if path.name not in ("state.json", _state_file(state), best):
                path.unlink()

    def load_state(self) -> TrainingState:
        """Returns the last state saved; that of a run which has not begun where there is none."""
        folder = self.path / "checkpoint"
        if not (folder / "state.json").exists():
            return TrainingState()
        state = TrainingState(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
        if not state.finished:
            state.variables = load_arrays(folder / _state_file(state))
        return state

    def save_best(self, epoch: int, weights: Iterable[np.ndarray]) -> None:
        """Writes the weights after `epoch`, the best so far; `save_state` drops older ones.

        On disk, since a third copy of 120 million weights has no room in 3 GiB of memory.
        """
        path = self.best_weights(epoch)
        path.parent.mkdir(exist_ok=True)
        save_arrays(path, weights)

    def load_best(self, epoch: int) -> list[StoredArray]:
        """Returns the weights that `save_best` wrote."""
        return load_arrays(self.best_weights(epoch))

    def best_weights(self, epoch: int) -> Path:
        """Names the file of the weights after the best epoch."""
        return self.path / "checkpoint" / f"best-{epoch}.npys"

    def save_model(self, model) -> None:
        """Writes a `Recognizer` without what it was trained with, and takes that off it."""
        for part in (model, model.head):
            part.compiled = False
            part.optimizer = None
        temporary = self.path / "model.tmp.keras"
        model.save(temporary)
        os.replace(temporary, self.model)

    def forget_state(self) -> None:
        """Drops the checkpoint: a complete run has its model, and the checkpoint is the larger."""
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)


def _state_file(state):
    return f"state-{state.step}.npys"
