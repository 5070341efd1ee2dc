"""RunDir: names and writes every file of a run, each whole or not at all."""

import csv
import dataclasses
import io
import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np

from glr_keras import config as config_file
from glr_keras.config import FitConfig
from tfrecords.console import UserError


@dataclasses.dataclass
class TrainingState:
    """Where training stands after a whole epoch: all that going on exactly needs.

    Attributes:
        epoch: Epochs done.
        history: One dict per epoch done.
        best_epoch: Index of the best epoch so far; its weights are kept apart.
        variables: Values of the head's and the optimizer's variables, in order.
    """

    epoch: int
    history: list[dict]
    best_epoch: int
    variables: list[np.ndarray]


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

    def _strangers(self):
        return sorted(p.name for p in self.path.iterdir() if p.name != "config.json.tmp")

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

    def save_state(self, state: TrainingState, best: list[np.ndarray] | None) -> None:
        """Keeps `state` in place of the last one, and `best` weights if this epoch has them.

        Everything new is on disk under its own name before `state.json` names it, so a kill at
        any moment leaves either the last state whole or this one.
        """
        folder = self.path / "checkpoint"
        folder.mkdir(exist_ok=True)
        if best is not None:
            _save_arrays(folder / f"best-{state.best_epoch}.npz", best)
        _save_arrays(folder / f"state-{state.epoch}.npz", state.variables)
        summary = {"epoch": state.epoch, "best_epoch": state.best_epoch, "history": state.history}
        self.write_json("checkpoint/state.json", summary)
        current = {"state.json", f"state-{state.epoch}.npz", f"best-{state.best_epoch}.npz"}
        for path in folder.iterdir():
            if path.name not in current:
                path.unlink()

    def load_state(self) -> TrainingState | None:
        """Returns the last state saved, or None for a run that has finished no epoch."""
        path = self.path / "checkpoint" / "state.json"
        if not path.exists():
            return None
        summary = json.loads(path.read_text(encoding="utf-8"))
        variables = _load_arrays(path.with_name(f"state-{summary['epoch']}.npz"))
        return TrainingState(variables=variables, **summary)

    def load_best(self, epoch: int) -> list[np.ndarray]:
        """Returns the weights that `save_state` kept of the best epoch."""
        return _load_arrays(self.path / "checkpoint" / f"best-{epoch}.npz")

    def save_model(self, model) -> None:
        temporary = self.path / "model.tmp.keras"
        model.save(temporary)
        os.replace(temporary, self.model)

    def forget_state(self) -> None:
        """Drops the checkpoint: a complete run has its model, and the checkpoint is the larger."""
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)


def describe_environment() -> dict:
    """Returns versions, machine and commit: what a reader needs to judge a difference."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "pillow", "glr-keras")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "commit": _commit(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(name):
    try:
        return version(name)
    except ModuleNotFoundError:  # run from a checkout that is not installed
        return None


def _commit():
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel


def _save_arrays(path, arrays):
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez(file, *arrays)
    os.replace(temporary, path)


def _load_arrays(path):
    with np.load(path) as stored:
        return [stored[name] for name in stored.files]
