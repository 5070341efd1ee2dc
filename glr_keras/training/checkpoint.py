"""Keeps, while a model trains, all that going on exactly needs; stops a run that went wrong.

Keras' own BackupAndRestore replays an interrupted epoch on weights that have seen half of it.
"""

import math
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from glr_keras.config import OBJECTIVE, FitConfig
from glr_keras.runs.arrays import PIECE_BYTES, StoredArray
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError

LONGEST = 30.0  # seconds between two saves: what a kill can cost
SHORTEST = 1.0
DISK_BYTES_PER_SECOND = 5e8  # a guess, until the first save is measured
SAVING_SHARE = 20  # training lasts so many times as long as saving it


class DivergedError(UserError):
    """A loss or a weight is not a finite number any more.

    Attributes:
        reason: What happened, without the advice for a single run that follows it in the message.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason


class Checkpoint(keras.callbacks.Callback):
    """Saves training between any two steps and takes it up again; also ends it.

    What is saved: weights, optimizer, dropout's random state, the metrics' sums, history, the best
    weights so far. The average of weights that `config.ema` asks for is put in the weights' place
    while they are measured and kept as best, and taken out again.

    Args:
        model: Compiled model whose optimizer is built.
        run: RunDir to save in.
        config: FitConfig; its epochs, patience and ema.
        steps_per_epoch: Int.
    """

    def __init__(self, model: keras.Model, run: RunDir, config: FitConfig, steps_per_epoch: int):
        super().__init__()
        self._run, self._config, self._steps = run, config, steps_per_epoch
        self.weights = _changing(model)
        self._trained = model.trainable_variables
        self._variables = self.weights + model.optimizer.variables
        self._raw = []  # weights that their average stood in for at the last measurement
        self.state = run.load_state()
        # Those of an epoch that is over hold its measurement.
        inside_epoch = self.state.step % steps_per_epoch
        stored = self.state.variables
        sums = stored[len(self._variables) :] if inside_epoch else []
        self._metrics = [array.read() for array in sums]
        if stored:
            restore(self._variables, stored[: len(self._variables)])
        self._saved = time.monotonic()
        self._cost = sum(_nbytes(v) for v in self._variables) / DISK_BYTES_PER_SECOND

    @property
    def is_over(self) -> bool:
        """Whether no further epoch is to be trained."""
        state, patience = self.state, self._config.patience
        epochs = len(state.history)
        stale = epochs - 1 - state.best_epoch
        return epochs >= self._config.epochs or bool(patience and epochs and stale >= patience)

    def on_train_begin(self, logs=None):
        if self._raw:  # Keras ends each fit() with the average in place
            assign(self._trained, self._raw)

    def on_train_batch_end(self, batch, logs=None):
        self.state.step += 1
        if self._metrics:  # the first epoch goes on where it was interrupted
            self._add_metrics()
        if not math.isfinite(float(logs["loss"])):
            raise self._diverged("the loss is")
        # The last step of an epoch is saved with the epoch's measurement, or that would be lost.
        if self.state.step % self._steps:
            self._save_if_due()

    def on_test_begin(self, logs=None):
        if self._config.ema:
            self._raw = values(self._trained)
            self.model.optimizer.finalize_variable_values(self._trained)

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        state.history.append(_row(epoch, logs))
        # max() keeps the first of equals: the earliest epoch that reached the best.
        best = max(range(epoch + 1), key=lambda e: state.history[e][OBJECTIVE])
        if best == epoch:
            state.best_epoch = epoch
            self._run.save_best(epoch, map(_look_at, self.weights))
        if self._config.ema:
            assign(self._trained, self._raw)
        self._run.write_history(state.history)
        self.model.stop_training = self.is_over
        if not self.is_over:
            self._save_if_due()

    def finish(self) -> None:
        """Puts the best weights into the model, and keeps that training is over."""
        restore(self.weights, self._run.load_best(self.state.best_epoch))
        if not self.state.finished:
            self.state.finished = True
            self._run.save_state(self.state, [])

    def _add_metrics(self):
        """Adds the sums of the part of an epoch before an interruption to those of one step.

        Not before that step, since Keras makes its metrics in it; and a sum of two is exact.
        """
        variables = self.model.metrics_variables
        pairs = zip(values(variables), self._metrics, strict=True)
        assign(variables, [now + before for now, before in pairs])
        self._metrics = []

    def _save_if_due(self):
        pause = min(max(SAVING_SHARE * self._cost, SHORTEST), LONGEST)
        started = time.monotonic()
        if started - self._saved < pause:
            return
        self._run.save_state(self.state, self._finite_values())
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def _finite_values(self):
        """Yields what is saved, one array at a time."""
        for variable in [*self._variables, *self.model.metrics_variables]:
            value = _look_at(variable)
            if value.dtype.kind == "f" and not np.isfinite(np.sum(value, dtype=np.float64)):
                raise self._diverged(f"{variable.path} is")
            yield value

    def _diverged(self, what):
        epoch, step = divmod(self.state.step - 1, self._steps)
        config = self._config
        kept = self._run.path / "checkpoint"
        kept = f"The state before it stays in {kept}. " if kept.exists() else ""
        return DivergedError(
            f"Training broke down at step {step + 1} of epoch {epoch + 1} (step {self.state.step} "
            f"in all): {what} not a finite number",
            f"{kept}Start again in another --run-dir with a lower --learning-rate (now "
            f"{config.learning_rate:g}), --clip-norm 1 (now {config.clip_norm:g}: 0 is none) or "
            f"--warmup-epochs 1 (now {config.warmup_epochs:g}).",
        )


def values(variables) -> list[np.ndarray]:
    """Returns copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _is_mirrored(variable):
    return isinstance(variable.value, tf.distribute.DistributedValues)


def _look_at(variable):
    """Returns an array on the variable's own memory: a copy of 103 million weights takes 0.4 GB."""
    return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))


def restore(variables, stored: Sequence[StoredArray]) -> None:
    """Gives each variable its stored array; a large one piece by piece, where it stands."""
    for variable, array in zip(variables, stored, strict=True):
        if array.nbytes > PIECE_BYTES and not _is_mirrored(variable):
            for rows, values in array.pieces():
                variable.value[rows].assign(values)
        else:
            variable.assign(array.read())


def assign(variables, arrays) -> None:
    """Gives each variable its array."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _changing(model):
    """Returns the variables that training may change: all but those of a frozen backbone."""
    backbone = getattr(model, "backbone", None)
    frozen = set() if backbone is None else {id(v) for v in backbone.non_trainable_variables}
    return [variable for variable in model.variables if id(variable) not in frozen]


def _nbytes(variable):
    return int(np.prod(variable.shape)) * 4


def _row(epoch, logs):
    """A row of history.csv: floats with the digits that float32 has, so that they are exact."""
    numbers = {name: float(str(np.float32(value))) for name, value in logs.items()}
    return {"epoch": epoch + 1} | {name: numbers[name] for name in sorted(numbers)}
