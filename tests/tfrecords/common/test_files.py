"""A file is there whole or not at all; a lock has one holder; sizes are true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfrecords.common import files
from tfrecords.common.console import UserError
from tfrecords.common.files import (
    atomic_path,
    bytes_below,
    delete_temporary,
    locked,
    make_empty_folder,
    rename_durably,
    show_bytes,
    write_atomically,
    write_csv,
)


@pytest.mark.parametrize(("data", "stored"), [("é\r\n", b"\xc3\xa9\r\n"), (b"\xff", b"\xff")])
def test_what_is_written_replaces_what_was_there(tmp_path, data, stored):
    path = tmp_path / "a.json"
    path.write_text("before")
    write_atomically(path, data)
    assert path.read_bytes() == stored
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: None])
def test_a_failure_leaves_what_was_there(tmp_path, make):
    (tmp_path / "a.keras").write_text("before")

    def fail():
        with atomic_path(tmp_path / "a.keras") as temporary:
            make(temporary)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == ["a.keras"]
    assert (tmp_path / "a.keras").read_text() == "before"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with atomic_path(tmp_path / "a.png") as one, atomic_path(tmp_path / "a.png") as other:
        assert one != other
        assert {one.suffix, other.suffix} == {".png"}  # libraries choose the format by it
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.png").read_text() == "one"  # the outer block ends last
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")
    write_atomically(path, "text")
    assert path.read_text() == "text"


@pytest.fixture
def synced(monkeypatch):
    """Records what is synced, by name, and renamed, in order."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def note_replace(source, target):
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", note_fsync)
    monkeypatch.setattr(files.os, "replace", note_replace)
    return calls


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds names of open files in /proc")
def test_a_file_is_on_disk_before_its_name_is(tmp_path, synced):
    write_atomically(tmp_path / "a.json", "text")
    assert synced[0].startswith(".tmp-")
    assert synced[1:] == ["rename", tmp_path.name]


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds names of open files in /proc")
def test_all_files_of_a_folder_are_on_disk_before_its_name_is(tmp_path, synced):
    (tmp_path / "part" / "inner").mkdir(parents=True)
    for name in ("one", "inner/two"):
        (tmp_path / "part" / name).write_text(name)
    rename_durably(tmp_path / "part", tmp_path / "out")
    assert sorted(synced[:4]) == ["inner", "one", "part", "two"]
    assert synced[4:] == ["rename", tmp_path.name]


def test_only_what_killed_writers_left_is_deleted(tmp_path):
    mine = (".tmp-", ".tmp-mine.json", ".tmp-0123456789abcdef.json.bak", "0123456789abcdef.json")
    for name in (*mine, ".tmp-0123456789abcdef.json", ".tmp-fedcba9876543210"):
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "a.safetensors") as temporary:
        temporary.touch()
        delete_temporary(tmp_path)
        assert not temporary.exists()
        temporary.touch()
    (tmp_path / "a.safetensors").unlink()
    assert {path.name for path in tmp_path.iterdir()} == set(mine)
    delete_temporary(tmp_path / "nowhere")


def test_a_table_is_quoted_where_it_must_be(tmp_path):
    write_csv(tmp_path / "a.csv", ("name", "photos"), iter([("a, b", 1), ('"c"\nd', 2)]))
    expected = b'name,photos\n"a, b",1\n"""c""\nd",2\n'
    assert (tmp_path / "a.csv").read_bytes() == expected


def test_a_table_whose_rows_fail_is_not_there(tmp_path):
    def rows():
        yield ("a", 1)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write_csv(tmp_path / "a.csv", ("name", "photos"), rows())
    assert os.listdir(tmp_path) == []


def test_a_lock_has_one_holder(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tfrecords.common.files import locked\n"
        "with locked(Path(sys.argv[1]), 'held'):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match=r"^in use$"), locked(tmp_path / ".lock", "in use"):
            raise AssertionError("two holders")
        holder.kill()  # the system releases it
        holder.wait()
        with locked(tmp_path / ".lock", "in use"):
            pass


def test_bytes_below_a_folder_are_those_of_its_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(bytes(3))
    (tmp_path / "a" / "b" / "two").write_bytes(bytes(4))
    assert bytes_below(tmp_path) == 7


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (18.5e9, "18.5 GB"),
        (5e12, "5.0 TB"),
    ],
)
def test_bytes_are_shown_for_people(count, text):
    assert show_bytes(count) == text


def test_a_new_or_an_empty_folder_is_made_to_write_to(tmp_path):
    for _ in range(2):
        make_empty_folder(tmp_path / "a" / "b", "--out")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_of_something_else_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    message = rf"^--maps {tmp_path}: expected a new or empty folder, .*: --maps {tmp_path}-2$"
    with pytest.raises(UserError, match=message):
        make_empty_folder(tmp_path, "--maps")
    with pytest.raises(UserError, match=r"a new or empty folder, or one with result\.json, and"):
        make_empty_folder(tmp_path, "--out", "result.json")
    with pytest.raises(UserError, match="expected a new or empty folder"):
        make_empty_folder(tmp_path / "notes.txt", "--out")
    with pytest.raises(UserError, match=r"can't be made .* Name another one: --out DIR"):
        make_empty_folder(tmp_path / "notes.txt" / "x", "--out")
    (tmp_path / "result.json").touch()
    make_empty_folder(tmp_path, "--out", "result.json")
    assert (tmp_path / "notes.txt").read_text() == "mine"
