"""What benchmarks start from, so that their figures stay comparable over versions."""

from pathlib import Path

from glr_keras.config import FitConfig, new_config

# Flags of `glr_keras.fit`: large heads and SGD, as in the report, and batch norm on the features.
FLAGS = ("--preset", "report", "--normalize")


def base_config(**changes) -> FitConfig:
    """Returns the same as a config, with `changes`."""
    return new_config({"normalize": True, **changes}, "report")


def build_demo(folder: Path, photos_per_landmark: int) -> Path:
    """Draws photos of the 10 demo landmarks in `folder`; returns where their records are."""
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo.photos import write_photos

    write_photos(folder / "photos", photos_per_landmark=photos_per_landmark)
    build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    return folder / "data"
