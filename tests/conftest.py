"""What several test files share."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Before Keras is imported: weights that a user has downloaded must not change what tests see.
os.environ["KERAS_HOME"] = tempfile.mkdtemp(prefix="keras-home-")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A shell's background job ignores Ctrl-C, and so would the processes that tests start to interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def run_python():
    """Runs a fresh Python in the repository's root: `run_python("-m", "tfrecords.build", ...)`."""

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory):
    """Records of 5 photos of each of the 10 demo landmarks (3 train, 1 validation, 1 test)."""
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo.photos import write_photos

    folder = tmp_path_factory.mktemp("demo")
    write_photos(folder / "photos", photos_per_landmark=5, progress=False)
    build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    return folder / "data"


@pytest.fixture
def records(demo_data, tmp_path):
    """A copy of those records, for tests that write features beside them or harm them."""
    from glr_keras.data.records import open_records

    shutil.copytree(demo_data, tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    return open_records(tmp_path / "data")


@pytest.fixture(scope="session")
def demo_photos(demo_data):
    """The photos of those records, sorted."""
    return sorted((demo_data.parent / "photos").glob("*/*.jpg"))


@pytest.fixture(scope="session")
def small_run(demo_data, tmp_path_factory):
    """A complete run of an ABN that sees 32 pixels, with maps of 8 x 8."""
    from glr_keras.config import FitConfig
    from glr_keras.training.train import train

    run_dir = tmp_path_factory.mktemp("small") / "run"
    small = {
        "weights": "random",
        "image_size": 32,
        "cut_layer": "block2_pool",
        "head_units": (16,),
        "attention_channels": 8,
        "batch_size": 6,
        "pooling": "flatten",
        "optimizer": "adam",
        "schedule": "constant",
        "warmup_epochs": 0,
        "epochs": 4,
        "views": 1,
    }
    train(FitConfig(data_dir=str(demo_data), run_dir=str(run_dir), **small))
    return run_dir


@pytest.fixture(scope="session")
def small_export(small_run, demo_data):
    """Its export; beside it in `export.txt`, what was printed of it."""
    from glr_keras.export import export

    out = small_run.with_name("export")
    with (
        open(out.with_suffix(".txt"), "w", encoding="utf-8") as said,
        contextlib.redirect_stdout(said),
    ):
        export(small_run, out, demo_data, "float32", 256)
    return out


@pytest.fixture(scope="module")
def browser():
    """A Chromium, where one and Playwright's Python package are installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
