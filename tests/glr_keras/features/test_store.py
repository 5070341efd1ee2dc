"""The folder of stored features, and the command that lists and deletes what is in it."""

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest
from paths import REPOSITORY

from glr_keras.features import __main__ as features_command
from glr_keras.features.store import FeatureFolder, FeatureViews
from tfrecords.common.console import UserError
from tfrecords.common.files import show_bytes

KEY = {"format": 2, "split": "train", "records": "ab", "backbone": "vgg16", "image_size": 32}
LABELS, IDS = np.array([2, 0, 1]), ["a/1.jpg", "b/2.jpg", "Köln/3.jpg"]
SHAPE = (3, 1, 1, 4)


def folder_of(data, **changes):
    return FeatureFolder(data / "features", KEY | changes)


@pytest.fixture
def folder(tmp_path):
    """A folder with two whole views of three photos."""
    folder = folder_of(tmp_path)
    fill(folder)
    return folder


def fill(folder, views=(0, 1)):
    folder.start()
    folder.save_index(LABELS, IDS)
    for view in views:
        folder.view(view, SHAPE).write_block(0, np.zeros(SHAPE))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["features", *map(str, arguments)])
    features_command.main()


def test_a_folder_is_named_after_all_it_depends_on(tmp_path):
    names = {
        folder_of(tmp_path, **change).path.name
        for change in ({}, {"image_size": 64}, {"records": "cd"}, {"format": 3}, {"seed": 0})
    }
    assert len(names) == 5
    assert all(name.startswith("train-vgg16-") for name in names)
    assert folder_of(tmp_path).path == folder_of(tmp_path).path
    assert folder_of(tmp_path, split="test").path.name.startswith("test-vgg16-")


def test_views_have_a_file_each(folder):
    assert folder.view(3, SHAPE).path == folder.path / "view-3.npy"
    assert folder.view(None, SHAPE).path == folder.path / "eval.npy"


def test_feature_views_have_a_size_and_shape(folder):
    views = FeatureViews("train", {0: folder.view(0, SHAPE)}, LABELS, IDS)
    assert (len(views), views.shape) == (3, (1, 1, 4))


def test_the_manifest_says_what_made_the_features(folder, capsys):
    path = folder.path / "manifest.json"
    assert json.loads(path.read_text()) == KEY
    written = path.stat().st_mtime_ns
    folder.start()
    assert path.stat().st_mtime_ns == written
    assert capsys.readouterr() == ("", "")


def harm(path, kind):
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-1],
            "empty": b"",
            "flip": data[:20] + bytes([data[20] ^ 1]) + data[21:],
            "top bit": data[:20] + bytes([data[20] ^ 128]) + data[21:],
            "list": b"[]",
            "more": data + b"\n",
        }[kind]
    )


HARMS = ["cut", "empty", "flip", "top bit", "list", "more"]


@pytest.mark.parametrize("kind", HARMS)
def test_a_damaged_manifest_is_named_and_written_again(folder, kind, capsys):
    path = folder.path / "manifest.json"
    whole = path.read_bytes()
    harm(path, kind)
    folder.start()
    assert path.read_bytes() == whole
    assert capsys.readouterr().err == f"warning: {path} was damaged; it is written again.\n"


def test_what_a_killed_process_left_is_deleted(folder):
    left_over = folder.path / ".tmp-0123456789abcdef.json"
    left_over.touch()
    folder.start()
    assert not left_over.exists()


def test_the_index_comes_back(folder, tmp_path):
    labels, photo_ids = folder.load_index()
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, LABELS)
    assert photo_ids == IDS
    assert folder_of(tmp_path, seed=1).load_index() is None


@pytest.mark.parametrize("kind", HARMS[:-1])  # white space at the end changes nothing in JSON
def test_a_damaged_index_is_named_and_not_used(folder, kind, capsys):
    path = folder.path / "photos.json"
    harm(path, kind)
    assert folder.load_index() is None
    said = f"warning: {path} was damaged; it is read from the records again.\n"
    assert capsys.readouterr().err == said


def test_no_flipped_bit_of_the_index_changes_what_is_used(folder, capsys):
    path = folder.path / "photos.json"
    whole = path.read_bytes()
    unseen = 0
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        loaded = folder.load_index()
        if loaded is not None:  # one letter of ö, \\u00f6, may be large or small
            assert (loaded[0].tolist(), loaded[1]) == (LABELS.tolist(), IDS)
            unseen += 1
    assert unseen <= 1
    assert capsys.readouterr().err.count("was damaged") == 8 * len(whole) - unseen


TAKE = (
    "import json, pathlib, sys\n"
    "from glr_keras.features.store import FeatureFolder\n"
    "with FeatureFolder(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])).locked():\n"
    "    print('mine', flush=True)\n"
    "    sys.stdin.read()\n"
)


def taking(folder):
    """A process that takes the folder and holds it until its standard input is closed."""
    arguments = [str(folder.parent), json.dumps(folder.key)]
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", TAKE, *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe)


def test_a_second_process_says_that_it_waits_and_takes_its_turn(folder):
    with taking(folder) as first:
        assert first.stdout.readline() == b"mine\n"
        with taking(folder) as second:
            said = f"Another process computes {folder.path}; waiting for it.\n"
            assert second.stderr.readline().decode() == said
            assert first.poll() is None
            first.stdin.close()
            assert second.stdout.readline() == b"mine\n"
            second.stdin.close()
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_lock_that_another_process_waits_for_outlives_the_folder(folder, tmp_path, monkeypatch):
    """Deleting a folder with its lock inside would let two processes hold "the" lock."""
    with lock_and_delete(folder, tmp_path, monkeypatch), taking(folder) as second:
        assert second.stderr.readline().startswith(b"Another process computes")
        assert second.poll() is None
        second.kill()


@contextlib.contextmanager
def lock_and_delete(folder, data, monkeypatch):
    run(monkeypatch, "delete", data, folder.path.name)
    with folder.locked():
        yield


def test_the_folder_of_features_itself_can_be_named(folder, tmp_path, monkeypatch, capsys):
    moved = (tmp_path / "features").rename(tmp_path / "scratch dir")
    run(monkeypatch, "list", moved)
    said = capsys.readouterr().out
    assert folder.path.name in said
    assert f"Delete some with: python -m glr_keras.features delete '{moved}' NAME ..." in said
    run(monkeypatch, "delete", moved, "--all")
    assert not (moved / folder.path.name).exists()


def test_list_shows_size_views_photos_and_settings(folder, tmp_path, monkeypatch, capsys):
    other = folder_of(tmp_path, image_size=64)
    fill(other, views=[0])
    run(monkeypatch, "list", tmp_path)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[-1]: line.split() for line in lines if "train-vgg16" in line}
    sizes = {
        one.path.name: sum(file.stat().st_size for file in one.path.iterdir())
        for one in (folder, other)
    }
    for one, views in ((folder, "2"), (other, "1")):
        name = one.path.name
        assert rows[name] == [*show_bytes(sizes[name]).split(), views, "3", name]
    assert (
        "image_size 32" in lines[lines.index(next(x for x in lines if folder.path.name in x)) + 1]
    )
    assert lines[-2] == f"{show_bytes(sum(sizes.values())):>10}  in {tmp_path / 'features'}"
    command = f"python -m glr_keras.features delete {tmp_path} NAME ..."
    assert lines[-1] == f"Delete some with: {command}"


def test_list_tells_what_is_not_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(features_command, "BLOCK", 2)
    monkeypatch.setattr("glr_keras.features.view_files.BLOCK", 2)
    folder = folder_of(tmp_path)
    folder.start()
    folder.view(0, SHAPE).write_block(0, np.zeros((2, 1, 1, 4)))
    run(monkeypatch, "list", tmp_path)
    assert " 1          ?  train-vgg16-" in capsys.readouterr().out
    folder.save_index(LABELS, IDS)
    (folder.path / "manifest.json").write_text("{")
    run(monkeypatch, "list", tmp_path)
    said = capsys.readouterr().out
    assert " 1        2/3  train-vgg16-" in said
    assert "(its manifest.json can't be read)" in said


def test_delete_removes_what_is_named(folder, tmp_path, monkeypatch, capsys):
    other = folder_of(tmp_path, split="test")
    fill(other, views=[None])
    size = sum(file.stat().st_size for file in folder.path.iterdir())
    run(monkeypatch, "delete", tmp_path, folder.path.name)
    assert capsys.readouterr().out == f"Deleted {folder.path} ({show_bytes(size)}).\n"
    assert not folder.path.exists()
    assert other.path.exists()
    fill(folder)
    run(monkeypatch, "delete", tmp_path, "--all")
    assert [path.suffix for path in (tmp_path / "features").iterdir()] == [".lock"] * 2


@pytest.mark.parametrize("arguments", [[], ["train-vgg16-0", "--all"]])
def test_delete_wants_names_or_all(folder, tmp_path, monkeypatch, arguments):
    message = f"Expected names of stored features or --all.*features list {tmp_path}"
    with pytest.raises(UserError, match=message):
        run(monkeypatch, "delete", tmp_path, *arguments)
    assert folder.path.exists()


def test_delete_names_what_is_not_there(folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=f"holds no nothing, x; it holds: {folder.path.name}"):
        run(monkeypatch, "delete", tmp_path, "nothing", folder.path.name, "x")
    assert folder.path.exists()


def test_features_that_are_being_computed_are_not_deleted(folder, tmp_path, monkeypatch):
    with taking(folder) as other:
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(UserError, match=r"is being computed by another process\. Stop it"):
            run(monkeypatch, "delete", tmp_path, "--all")
        other.stdin.close()
    assert folder.load_index() is not None


def test_without_features_the_command_that_makes_some_is_named(run_python, tmp_path):
    done = run_python("-m", "glr_keras.features", "list", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: No stored features in {tmp_path}." in done.stderr
    assert f"python -m glr_keras.fit --data-dir {tmp_path}" in done.stderr
