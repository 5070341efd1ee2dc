"""The settings that benchmarks start from, so that their figures stay comparable over versions."""

from glr_keras.config import FitConfig, new_config

# Flags of `glr_keras.fit`: large heads and SGD, as in the report, and batch norm on the features.
FLAGS = ("--preset", "report", "--normalize")


def base_config(**changes) -> FitConfig:
    """Returns the same as a config, with `changes`."""
    return new_config({"normalize": True, **changes}, "report")
