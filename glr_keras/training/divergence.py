"""Ends a training whose loss or weights are not finite numbers any more."""

import math
from pathlib import Path

import numpy as np

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError


class DivergedError(UserError):
    """A loss or a weight is not a finite number any more.

    Attributes:
        reason: What happened, without the advice for a single run that follows it in the message.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason


class DivergenceGuard:
    """Raises a `DivergedError` for a loss or an array that is not finite.

    Args:
        config: FitConfig, for the advice in the message.
        steps_per_epoch: Int.
        folder: Where the last good state is kept.
    """

    def __init__(self, config: FitConfig, steps_per_epoch: int, folder: Path):
        self._config, self._steps, self._folder = config, steps_per_epoch, folder

    def check_loss(self, loss: float, step: int) -> None:
        """Checks the loss after `step` steps.

        At each step: Keras has made it a Python float before any callback sees it, so this waits
        for no device.
        """
        if not math.isfinite(loss):
            raise self._error("the loss is", step)

    def check_array(self, array: np.ndarray, path: str, step: int) -> None:
        """Checks the value of the variable `path` after `step` steps."""
        if array.dtype.kind == "f" and not np.isfinite(np.sum(array, dtype=np.float64)):
            raise self._error(f"{path} is", step)

    def _error(self, what, step):
        epoch, step_of_epoch = divmod(step - 1, self._steps)
        config = self._config
        is_kept = self._folder.exists()
        kept = f"The state before it stays in {self._folder}. " if is_kept else ""
        return DivergedError(
            f"Training broke down at step {step_of_epoch + 1} of epoch {epoch + 1} (step {step} "
            f"in all): {what} not a finite number",
            f"{kept}Start again in another --run-dir with a lower --learning-rate (now "
            f"{config.learning_rate:g}), --clip-norm 1 (now {config.clip_norm:g}: 0 is none) or "
            f"--warmup-epochs 1 (now {config.warmup_epochs:g}).",
        )
