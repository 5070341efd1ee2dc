"""RunDir: names and writes every file of a run, each atomically."""

import csv
import dataclasses
import json
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from glr_keras.config import FitConfig, differences, read_json, to_json
from glr_keras.runs.arrays import StoredArray, load_arrays, save_arrays
from glr_keras.runs.environment import describe_environment
from tfrecords.common.console import UserError
from tfrecords.common.files import (
    LOCK,
    atomic_path,
    delete_temporary,
    locked,
    unexpected_files,
    writable,
    write_atomically,
    write_csv,
    write_json,
)


@dataclasses.dataclass
class TrainingState:
    """Where training stands: all that an exact resume needs.

    Attributes:
        step: Training steps done, over all epochs.
        history: One dict per epoch done.
        best_epoch: Index of the best epoch so far; -1 before the first one ends.
        finished: Whether training is over, and only the best weights still count.
        variables: Values of all variables that training changes, in order; those of the metrics,
            too, which accumulate over an epoch that is not over.
    """

    step: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)
    best_epoch: int = -1
    finished: bool = False
    variables: list[StoredArray] = dataclasses.field(default_factory=list)


class Below:
    """A property: the path of this name in the folder `path` of an object."""

    def __init__(self, name: str):
        self._name = name

    def __get__(self, folder, _) -> Path:
        return folder.path / self._name


@dataclasses.dataclass(frozen=True)
class RunDir:
    """The directory of one run. `metrics.json` comes last: it is there when the run is complete."""

    path: Path

    config = Below("config.json")
    model = Below("model.keras")
    logs = Below("logs")
    metrics = Below("metrics.json")
    environment = Below("environment.json")
    history = Below("history.csv")

    @property
    def is_complete(self) -> bool:
        return self.metrics.exists()

    def figure(self, name: str) -> Path:
        """Where the figure `name` goes, as PNG."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.png"

    def resolve(self, config: FitConfig) -> FitConfig:
        """Returns `config` with the precision that a run here began with, where it says "auto"."""
        if config.precision != "auto" or not self.config.exists():
            return config
        return dataclasses.replace(config, precision=read_json(self.config).precision)

    def check(self, config: FitConfig) -> None:
        """Finds whether a run of `config` can start or resume here; writes nothing.

        Raises:
            UserError: the directory holds a run of another config, or other files.
        """
        others = unexpected_files(self.path)  # first: another process may write config.json now
        if self.config.exists():
            if changed := differences(read_json(self.config), config):
                raise UserError(
                    f"{self.path} holds a run of another config: {'; '.join(changed)}. "
                    "Name another --run-dir, or delete this one."
                )
        elif others:
            raise UserError(
                f"{self.path} is not empty and holds no run ({', '.join(others[:3])}...). "
                "Name another --run-dir."
            )

    @contextmanager
    def claim(self, config: FitConfig) -> Iterator[None]:
        """Holds the directory for a run of `config`, from before the first file is written.

        What killed processes left in it is deleted.

        Raises:
            UserError: as `check` and `locked`, or it can't be written.
        """
        self.check(config)  # a folder with other files gets no lock file of ours
        with ExitStack() as held:
            with writable(self.path, "--run-dir"):
                self.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(self.locked())
                self.check(config)  # of a process that was faster
                for folder in (self.path, self.path / "figures", self.path / "checkpoint"):
                    delete_temporary(folder)
                write_atomically(self.config, to_json(config))
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory; the system lets go of it when this process ends, however it does.

        Raises:
            UserError: another process holds it.
        """
        message = (
            f"Another process is at work in {self.path}. Wait for it to end, or name another "
            "--run-dir."
        )
        with locked(self.path / LOCK, message):
            yield

    def bind(self, inputs: dict[str, str], facts: dict) -> None:
        """Writes what the run depends on besides its config; on resume, refuses a change of it.

        Args:
            inputs: "records" (fingerprint), "backbone_weights" (hash) and "precision".
            facts: What else `environment.json` says of the run.
        """
        if not self.environment.exists():
            self.write_json("environment.json", inputs | facts | describe_environment())
        self.check_inputs(inputs)

    def check_inputs(self, inputs: dict[str, str]) -> None:
        """Compares some of the inputs given to `bind`; of a run without any, nothing is known.

        Raises:
            UserError: they are others.
        """
        before = self.read_environment()
        changed = [name for name, value in inputs.items() if before.get(name) != value]
        if before and changed:
            raise UserError(
                f"{self.path} was started with other {', '.join(changed).replace('_', ' ')}, so "
                "it can't be resumed exactly. Name another --run-dir, or delete this one."
            )

    def read_environment(self) -> dict:
        """Returns what `bind` wrote; nothing of a run of the first versions."""
        if not self.environment.exists():
            return {}
        return json.loads(self.environment.read_text(encoding="utf-8"))

    def write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text)

    def write_json(self, name: str, values: dict) -> None:
        write_json(self.path / name, values)

    def read_metrics(self) -> dict:
        """Returns `metrics.json` of a complete run.

        Runs of earlier versions, which answered with the perception branch, have its numbers only:
        those are the answer's.
        """
        metrics = json.loads(self.metrics.read_text(encoding="utf-8"))
        for of_split in (metrics.get(split, {}) for split in ("validation", "test")):
            for name in ("accuracy", "top5_accuracy", "loss"):
                of_split.setdefault(name, of_split.get(f"perception_{name}"))
        return metrics

    def write_history(self, rows: list[dict]) -> None:
        write_csv(self.history, list(rows[0]), ([row[name] for name in rows[0]] for row in rows))

    def read_history(self) -> list[dict[str, float]]:
        """Returns what `write_history` wrote.

        Raises:
            FileNotFoundError: no epoch is done.
        """
        with open(self.history, newline="", encoding="utf-8") as file:
            return [{name: float(row[name]) for name in row} for row in csv.DictReader(file)]

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
        """Returns the last state saved; that of a run which has not begun where there is none.

        Raises:
            UserError: it is damaged, or a file of it is missing.
        """
        path = self.path / "checkpoint" / "state.json"
        if not path.exists():
            return TrainingState()
        try:
            state = TrainingState(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise self.unusable_checkpoint(f"{path.name}: {error}") from error
        if not state.finished:
            state.variables = self._load(_state_file(state))
        return state

    def unusable_checkpoint(self, reason: str) -> UserError:
        """Returns the error for a checkpoint that is not what this run wrote."""
        folder = self.path / "checkpoint"
        return UserError(
            f"The checkpoint in {folder} is damaged or of another run ({reason}), so training "
            "can't be resumed from it. Put it back from a copy, or start again after: "
            f"{shlex.join(['rm', '-r', str(folder)])}"
        )

    def _load(self, name):
        try:
            return load_arrays(self.path / "checkpoint" / name)
        except (OSError, SafetensorError) as error:
            raise self.unusable_checkpoint(f"{name}: {error}") from error

    def save_best(self, epoch: int, weights: Iterable[np.ndarray]) -> None:
        """Writes the weights after `epoch`, the best so far; `save_state` drops older ones.

        On disk, since a third copy of 120 million weights has no room in 3 GiB of memory.
        """
        path = self.best_weights(epoch)
        path.parent.mkdir(exist_ok=True)
        save_arrays(path, weights)

    def load_best(self, epoch: int) -> list[StoredArray]:
        """Returns the weights that `save_best` wrote.

        Raises:
            UserError: as `load_state`.
        """
        return self._load(self.best_weights(epoch).name)

    def best_weights(self, epoch: int) -> Path:
        """Names the file of the weights after the best epoch."""
        return self.path / "checkpoint" / f"best-{epoch}.safetensors"

    def save_model(self, model) -> None:
        """Writes a `Recognizer` without what it was trained with, and takes that off it."""
        for part in (model, model.head):
            part.compiled = False
            part.optimizer = None
        with atomic_path(self.model) as temporary:
            model.save(temporary)

    def delete_checkpoint(self) -> None:
        """Deletes the checkpoint: a complete run has its model, and the checkpoint is larger."""
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)


def report_command(run_dir: Path) -> str:
    """Returns the command that writes the report of a run again."""
    return shlex.join(["python", "-m", "glr_keras.report", str(run_dir)])


def _state_file(state):
    return f"state-{state.step}.safetensors"
