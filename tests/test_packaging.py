"""What people get who install the wheel: every module and data file, and the command glr-keras."""

import importlib
import os
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from paths import REPOSITORY

from glr_keras.__main__ import COMMANDS, main, overview

PACKAGES = ("glr_keras", "tfrecords", "tuning")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    subprocess.run(command, check=True, capture_output=True)
    [path] = out.glob("*.whl")
    return path


def entry_modules():
    """The modules that `python -m` runs."""
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            if '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
                yield name.removesuffix(".__main__")


def test_every_command_is_listed_once():
    assert sorted(module for module, _ in COMMANDS.values()) == sorted(
        set(entry_modules()) - {"glr_keras"}
    )
    assert all(len(line) <= 100 for line in overview().splitlines())


def test_without_arguments_the_commands_are_listed(run_python):
    done = run_python("-m", "glr_keras")
    assert (done.returncode, done.stdout, done.stderr) == (0, overview() + "\n", "")
    assert "glr-keras fit       python -m glr_keras.fit " in done.stdout


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # by other tests
@pytest.mark.parametrize("name", COMMANDS)
def test_a_short_name_runs_the_module(name, monkeypatch, capsys):
    """Another entry point, the same help; neither starts TensorFlow (see test_layering)."""
    module = COMMANDS[name][0]
    texts = []
    for argv, run in (
        (["glr-keras", name, "--help"], main),
        ([module, "--help"], lambda: runpy.run_module(module, run_name="__main__")),
    ):
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith(f"usage: python -m {module} ")


def test_an_unknown_command_is_refused(run_python):
    done = run_python("-m", "glr_keras", "train")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("\nerror: unknown command 'train'. Expected one of build, ")


def test_the_script_is_this_module():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    module, function = settings["project"]["scripts"]["glr-keras"].split(":")
    assert getattr(importlib.import_module(module), function) is main


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages(wheel):
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    found = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in found if ".dist-info/" not in name} == expected


@pytest.mark.slow
def test_the_installed_wheel_runs_commands(wheel, tmp_path):
    """In a folder of its own, without this checkout: the dependencies are this environment's."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(pip, check=True)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    where = "import glr_keras, tfrecords, tuning; print(glr_keras.__file__, tuning.__file__)"
    assert run(sys.executable, "-c", where).count(str(site)) == 2
    assert run(site / "bin" / "glr-keras") == overview() + "\n"
    assert "--top" in run(site / "bin" / "glr-keras", "build", "--help")
    ids = "from tfrecords.sources.selection import read_landmarks_file as read; "
    assert run(sys.executable, "-c", ids + "print(len(read('report27')))") == "27\n"
