"""Versions, machine and commit of a run."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfrecords.common.parallel import available_cores
from tfrecords.common.processor import RECORDED_FLAGS, cpu_flags, cpu_name, uses_onednn

# Those that numbers or files of a run depend on.
PACKAGES = (
    "glr-keras",
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "matplotlib",
    "safetensors",
    "google-crc32c",
    "h5py",
    "ml-dtypes",
    "protobuf",
)


def describe_environment() -> dict:
    """Returns versions, machine and commit: what a reader needs to judge a difference."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu_name(),
        "processor_features": sorted(cpu_flags() & RECORDED_FLAGS),
        "onednn": uses_onednn(),
        "cores": available_cores(),
        "commit": _commit(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return None


def _commit():
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel
