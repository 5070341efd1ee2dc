"""The folder of exported files: a kill loses no earlier export and leaves nothing for ever."""

import os
import subprocess
import sys

import pytest
from paths import PYTHONPATH

from glr_keras.exporting.folders import new_folder
from tfrecords.common.console import UserError

EXPORT = '{{"software": "glr-keras", "text": "{}"}}'
KILLED = """
import os, signal, sys
from pathlib import Path
from glr_keras.exporting import folders

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

moment, out, text = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
renames = []

def replace(source, target, rename=os.replace):
    if moment == f"before rename {len(renames) + 1}":
        kill()
    rename(source, target)
    renames.append(source)

with folders.new_folder(out, overwrite=True) as folder:
    if moment == "empty":
        kill()
    (folder / "model.json").write_text(text)
    if moment == "written":
        kill()
    os.replace = replace
    if moment == "deleting":
        folders.shutil.rmtree = kill
"""
MOMENTS = ("empty", "written", "before rename 1", "before rename 2", "deleting")


def export(out, text, overwrite=True):
    with new_folder(out, overwrite) as folder:
        (folder / "model.json").write_text(EXPORT.format(text))


def kill_export(out, moment):
    command = [sys.executable, "-c", KILLED, moment, out, EXPORT.format("killed")]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    assert subprocess.run(command, env=environment, check=False).returncode == -9


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_export_left_is_deleted_by_the_next_one(tmp_path, moment):
    out = tmp_path / "out"
    (tmp_path / ".out.export-mine").mkdir()
    (tmp_path / ".other.export-0123456789abcdef").mkdir()
    export(out, "first")
    kill_export(out, moment)
    export(out, "last")
    assert names(tmp_path) == [".other.export-0123456789abcdef", ".out.export-mine", "out"]
    assert names(out) == ["model.json"]
    assert "last" in (out / "model.json").read_text()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_export_loses_no_earlier_one(tmp_path, moment):
    out = tmp_path / "out"
    export(out, "first")
    kill_export(out, moment)
    with pytest.raises(UserError, match=r"out holds an export\. Name another --out, or add --over"):
        export(out, "last", overwrite=False)
    expected = "killed" if moment == "deleting" else "first"
    assert expected in (out / "model.json").read_text()
    assert names(tmp_path) == ["out"]


def test_two_exports_to_one_folder_do_not_harm_each_other(tmp_path):
    out = tmp_path / "out"
    with new_folder(out, False) as folder:
        export(out, "first")
        (folder / "model.json").write_text(EXPORT.format("second"))
        with pytest.raises(UserError, match="holds an export"):
            export(out, "third", overwrite=False)
        (out / "model.json").unlink()
        out.rmdir()
    assert "second" in (out / "model.json").read_text()
    assert names(tmp_path) == ["out"]
