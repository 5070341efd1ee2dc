"""Versions of an export: complete ones only, and nothing of the user's is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import PYTHONPATH

from glr_keras.exporting import versions
from glr_keras.exporting.versions import check_out, delete_version, publish, unfinished_version
from tfrecords.common.console import UserError


def write_version(folder):
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / "assets.extra" / "glr_keras.json").touch()


def add_version(out):
    with unfinished_version(out) as folder:
        write_version(folder)
        return publish(folder)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_export_is_a_new_version(tmp_path):
    out = tmp_path / "models" / "out"
    assert [add_version(out) for _ in range(3)] == [out / "1", out / "2", out / "3"]
    assert names(out) == [".lock", "1", "2", "3"]


def test_a_new_version_is_higher_than_every_folder_with_a_number(tmp_path):
    write_version(tmp_path / "2")
    (tmp_path / "9").mkdir()  # of something else
    (tmp_path / "v20").mkdir()
    (tmp_path / "٣٣").mkdir()  # no digits to TensorFlow Serving
    assert add_version(tmp_path) == tmp_path / "10"


def test_a_version_has_the_permissions_of_any_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    version = add_version(tmp_path / "out")  # a server may run as another user
    assert version.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_version_that_is_not_published_leaves_nothing(tmp_path):
    def interrupted(out):
        with unfinished_version(out) as folder:
            write_version(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "a" / "b")
    assert names(tmp_path) == []
    add_version(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "out")
    assert names(tmp_path / "out") == [".lock", "1"]


def test_files_of_the_user_stay(tmp_path):
    mine = ("out.old", "out.part", "out.bak")
    for name in mine:
        (tmp_path / name).mkdir()
    out = tmp_path / "out"
    add_version(out)
    for name in (".export-mine", "notes", "1/assets.extra/mine"):
        (out / name).mkdir()
    delete_version(add_version(out))
    add_version(out)
    assert names(tmp_path) == ["out", *sorted(mine)]
    assert names(out) == [".export-mine", ".lock", "1", "2", "notes"]
    assert (out / "1" / "assets.extra" / "mine").is_dir()


def test_what_a_killed_export_left_is_deleted_by_the_next_one(tmp_path):
    out = tmp_path / "out"
    write_version(out / ".export-0123456789abcdef")
    check_out(out)
    assert add_version(out) == out / "1"
    assert names(out) == [".lock", "1"]


def test_two_exports_to_one_folder_do_not_harm_each_other(tmp_path):
    out = tmp_path / "out"
    with unfinished_version(out) as folder:
        write_version(folder)
        with pytest.raises(UserError, match=r"Another export to .*out is running. Wait"):
            add_version(out)
        publish(folder)
    assert add_version(out) == out / "2"


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    write_version(tmp_path / "out" / "1")
    for taken in (tmp_path, tmp_path / "photo.jpg", tmp_path / "link"):
        with pytest.raises(UserError, match=r"exists and is no export\. Name another --out"):
            check_out(taken)
        with pytest.raises(UserError):
            add_version(taken)
    with pytest.raises(UserError, match="1 is one SavedModel, not a folder of versions"):
        check_out(tmp_path / "out" / "1")
    assert names(tmp_path) == ["link", "out", "photo.jpg"]
    for free in ("new", "out", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        check_out(tmp_path / free)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Can't write to .*file/out \(Not a directory\). Name"):
        add_version(tmp_path / "file" / "out")


KILLED = """
import os, signal, sys
from pathlib import Path
from glr_keras.exporting import versions

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    return lambda *arguments: (function(*arguments), kill())

moment, out = sys.argv[1], Path(sys.argv[2])
if moment == "renamed":
    os.replace = after(os.replace)
if moment == "deleting":
    versions.shutil.rmtree = kill
with versions.unfinished_version(out) as folder:
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").touch()
    if moment == "half written":
        kill()
    (folder / "assets.extra" / "glr_keras.json").touch()
    if moment == "written":
        kill()
    versions.publish(folder)
    if moment == "published":
        kill()
    versions.delete_version(out / "1")
"""


@pytest.mark.parametrize(
    ("moment", "complete"),
    [
        ("half written", ["1"]),
        ("written", ["1"]),
        ("renamed", ["1", "2"]),
        ("published", ["1", "2"]),
        ("deleting", ["2"]),
    ],
)
def test_a_kill_at_any_moment_leaves_complete_versions(tmp_path, moment, complete):
    out = tmp_path / "out"
    add_version(out)
    command = [sys.executable, "-c", KILLED, moment, out]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    assert [name for name in names(out) if not name.startswith(".")] == complete
    assert all((out / name / "assets.extra" / "glr_keras.json").exists() for name in complete)
    add_version(out)
    assert [name for name in names(out) if name.startswith(".")] == [".lock"]


def test_a_version_is_on_the_disk_before_it_has_its_number(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(
        versions, "rename_durably", lambda source, target: events.append((source, target))
    )
    with unfinished_version(tmp_path / "out") as folder:
        version = publish(folder)
    assert events == [(folder, version)]
    assert Path(version).name == "1"
