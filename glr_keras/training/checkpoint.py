"""Keeps, while a model trains, all that an exact resume needs; ends a training that is over.

Keras' own BackupAndRestore replays an interrupted epoch on weights that have seen half of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from glr_keras.config import OBJECTIVE, FitConfig
from glr_keras.runs.run_dir import RunDir
from glr_keras.training.divergence import DivergenceGuard
from glr_keras.training.variables import assign, changing, nbytes, restore, values, view

MAX_PAUSE_SECONDS = 30.0  # between two saves: what a kill can cost
MIN_PAUSE_SECONDS = 1.0
DISK_BYTES_PER_SECOND = 5e8  # a guess, until the first save is measured
TRAINING_PER_SAVING = 20  # training lasts so many times as long as saving it


class Checkpoint(keras.callbacks.Callback):
    """Saves training between any two steps and resumes it; also ends it.

    What is saved: weights, optimizer, dropout's random state, the metrics' accumulators, history,
    the best weights so far. The average of weights that `config.ema` asks for replaces the weights
    while they are measured and kept as best.

    Args:
        model: Compiled model whose optimizer is built.
        run: RunDir to save in.
        config: FitConfig; its epochs and patience.
        steps_per_epoch: Int.

    Raises:
        UserError: the checkpoint in `run` is damaged or of another run.
    """

    def __init__(self, model: keras.Model, run: RunDir, config: FitConfig, steps_per_epoch: int):
        super().__init__()
        self._run, self._config, self._steps = run, config, steps_per_epoch
        self.weights = changing(model)
        self._variables = self.weights + model.optimizer.variables
        self._average = AveragedWeights(model)
        self._guard = DivergenceGuard(config, steps_per_epoch, run.path / "checkpoint")
        self._timer = SaveTimer(sum(map(nbytes, self._variables)))
        self.state = run.load_state()
        self._accumulators = self._restore()

    def _restore(self):
        """Gives the variables their stored values; returns those of the metrics."""
        state, count = self.state, len(self._variables)
        inside_epoch = state.step % self._steps
        if len(state.history) != state.step // self._steps:
            raise self._run.unusable_checkpoint(f"{len(state.history)} epochs at step {state.step}")
        if state.step == 0 or state.finished:
            return []
        try:
            restore(self._variables, state.variables[:count])
        except ValueError as error:
            raise self._run.unusable_checkpoint(str(error)) from error
        # Those of an epoch that is over hold its measurement.
        return [array.read() for array in state.variables[count:]] if inside_epoch else []

    @property
    def is_over(self) -> bool:
        """Whether no further epoch is to be trained."""
        state, patience = self.state, self._config.patience
        epochs = len(state.history)
        stale = epochs - 1 - state.best_epoch
        return epochs >= self._config.epochs or bool(patience and epochs and stale >= patience)

    def on_train_begin(self, logs=None):
        self._average.swap_out()

    def on_train_batch_end(self, batch, logs=None):
        self.state.step += 1
        self._add_accumulators()
        self._guard.check_loss(logs["loss"], self.state.step)
        # The last step of an epoch is saved with the epoch's measurement, or that would be lost.
        if self.state.step % self._steps:
            self._save_if_due()

    def on_test_begin(self, logs=None):
        self._average.swap_in()

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        state.history.append(_row(epoch, logs))
        # Few validation photos make equals; max() keeps the earliest of those that are left.
        best = max(range(epoch + 1), key=lambda e: _merit(state.history[e]))
        if best == epoch:
            state.best_epoch = epoch
            self._run.save_best(epoch, map(view, self.weights))
        self._average.swap_out()
        self._run.write_history(state.history)
        self.model.stop_training = self.is_over
        if not self.is_over:
            self._save_if_due()

    def finish(self) -> None:
        """Puts the best weights into the model, and saves that training is over."""
        best = self._run.load_best(self.state.best_epoch)
        try:
            restore(self.weights, best)
        except ValueError as error:
            raise self._run.unusable_checkpoint(str(error)) from error
        if not self.state.finished:
            self.state.finished = True
            self._run.save_state(self.state, [])

    def _add_accumulators(self):
        """After a resume inside an epoch: adds what its metrics had before to what they have now.

        Only after the first step, since Keras makes its metrics in it; and a sum of two is exact.
        """
        if not self._accumulators:
            return
        variables = self.model.metrics_variables
        if len(variables) != len(self._accumulators):
            raise self._run.unusable_checkpoint("it has other metrics")
        pairs = zip(values(variables), self._accumulators, strict=True)
        assign(variables, [now + before for now, before in pairs])
        self._accumulators = []

    def _save_if_due(self):
        if self._timer.is_due:
            with self._timer.saving():
                self._run.save_state(self.state, self._finite_values())

    def _finite_values(self):
        """Yields what is saved; raises before anything is saved that is not finite."""
        for variable in [*self._variables, *self.model.metrics_variables]:
            array = view(variable)
            self._guard.check_array(array, variable.path, self.state.step)
            yield array


class AveragedWeights:
    """Puts the moving average of the weights in their place, and exactly these weights back.

    `keras.callbacks.SwapEMAWeights` swaps by additions, which round: an average that only watches
    would change the training.

    Args:
        model: Compiled model. Where its optimizer keeps no average, nothing is done.
    """

    def __init__(self, model: keras.Model):
        self._trained, self._optimizer = model.trainable_variables, model.optimizer
        # Those that the average stood in for at the last measurement.
        self._weights: list[np.ndarray] = []

    def swap_in(self) -> None:
        if self._optimizer.use_ema:
            self._weights = values(self._trained)
            self._optimizer.finalize_variable_values(self._trained)

    def swap_out(self) -> None:
        if self._weights:
            assign(self._trained, self._weights)


class SaveTimer:
    """Says when to save next, so that saving takes a small fraction of the time.

    Args:
        num_bytes: Of what is saved, for a guess of the first save's duration.
    """

    def __init__(self, num_bytes: int):
        self._saved, self._seconds = time.monotonic(), num_bytes / DISK_BYTES_PER_SECOND

    @property
    def is_due(self) -> bool:
        pause = min(max(TRAINING_PER_SAVING * self._seconds, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        return time.monotonic() - self._saved >= pause

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measures how long the block takes."""
        started = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._seconds = self._saved - started


def _merit(row):
    """What the best epoch has most of: validation accuracy; of equals, the smaller loss."""
    return row[OBJECTIVE], -row["val_cross_entropy"]


def _row(epoch, logs):
    """A row of history.csv: floats with the digits that float32 has, so that they are exact."""
    numbers = {name: float(str(np.float32(value))) for name, value in logs.items()}
    return {"epoch": epoch + 1} | {name: numbers[name] for name in sorted(numbers)}
