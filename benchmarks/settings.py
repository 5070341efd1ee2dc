"""The settings that benchmarks start from, so that their figures stay comparable over versions."""

from dataclasses import replace

from glr_keras.config import FitConfig, preset_config

# Flags of `glr_keras.fit`: large heads and SGD, as in the report, and batch norm on the features.
FLAGS = ("--preset", "report", "--normalize")


def base_config(**changes) -> FitConfig:
    """Returns the same as a config, with `changes`."""
    return replace(preset_config("report"), normalize=True, **changes)
