"""Versions, machine and commit of a run."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tfrecords.common.parallel import available_cores


def describe_environment() -> dict:
    """Returns versions, machine and commit: what a reader needs to judge a difference."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "pillow", "glr-keras")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": available_cores(),
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
