"""RunContext: what one run works with."""

from dataclasses import dataclass

import keras

from glr_keras.config import FitConfig
from glr_keras.data.records import Records
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir


@dataclass(frozen=True)
class RunContext:
    """What one run works with, from its first step to its figures.

    Attributes:
        config: Resolved FitConfig: its precision is not "auto".
        records: The photos.
        run: Where the run is written.
        recognizer: Backbone and head.
        warning: What a reader of the results must know first; empty if nothing.
    """

    config: FitConfig
    records: Records
    run: RunDir
    recognizer: Recognizer
    warning: str = ""

    @property
    def model(self) -> keras.Model:
        """What is trained and measured: the recognizer on photos, or its head on features."""
        return self.recognizer if self.config.is_live else self.recognizer.head
