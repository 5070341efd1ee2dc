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
from filelock import FileLock

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
def made_once(tmp_path_factory):
    """Makes folders that all workers of a session share: `made_once(name, make)`.

    The first worker that asks for a name calls `make` with the new folder; the others wait for it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made_once(name, make):
        folder, is_made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                is_made.touch()
        return folder

    return made_once


@pytest.fixture(scope="session")
def demo_data(made_once):
    """Records of 5 photos of each of the 10 demo landmarks (3 train, 1 validation, 1 test)."""

    def make(folder):
        from tfrecords.build import BuildOptions, build
        from tfrecords.demo.photos import write_photos

        write_photos(folder / "photos", photos_per_landmark=5, progress=False)
        build(BuildOptions(photos=folder / "photos", out=folder / "data"))

    return made_once("demo", make) / "data"


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
def small_run(demo_data, made_once):
    """A complete run of an ABN that sees 32 pixels, with maps of 8 x 8; tests only read it."""

    def make(folder):
        from small_runs import small_config

        from glr_keras.training.train import train

        train(small_config(demo_data, folder / "run"))

    return made_once("small", make) / "run"


@pytest.fixture(scope="session")
def small_export(small_run, demo_data, made_once):
    """Its export, which tests only read; beside it in `export.txt`, what was printed of it."""

    def make(folder):
        from glr_keras.export import export

        with (
            open(folder / "export.txt", "w", encoding="utf-8") as said,
            contextlib.redirect_stdout(said),
        ):
            export(small_run, folder / "export", demo_data, "float32", 256)

    return made_once("small-export", make) / "export"


@pytest.fixture(scope="session")
def small_model(small_run):
    """The run, loaded: what one test has traced, the next one need not trace again."""
    import glr_keras

    return glr_keras.load(small_run)


@pytest.fixture(scope="session")
def small_exported_model(small_export):
    """The export, loaded."""
    import glr_keras

    return glr_keras.load(small_export)


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
