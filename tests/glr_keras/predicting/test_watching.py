"""New files are found as they come, and only once they are complete."""

import shutil
from contextlib import suppress

import pytest

from glr_keras.predicting.watching import new_files
from tfrecords.common.console import UserError


def found(folder, *steps):
    """Runs a step before each look, and returns what was found then."""
    seen = []
    remaining = iter(steps)

    def wait(seconds):
        assert seconds >= 1
        step = next(remaining, None)
        if step is None:
            raise KeyboardInterrupt
        seen.append([])
        step()

    with suppress(KeyboardInterrupt):
        for paths in new_files(folder, wait=wait):
            seen[-1] += [path.removeprefix(f"{folder}/") for path in paths]
    return seen


def nothing():
    pass


def test_a_file_is_found_once_it_has_stopped_growing(tmp_path):
    (tmp_path / "old.jpg").write_bytes(b"there before")
    new = tmp_path / "below" / "new.jpg"

    def start():
        new.parent.mkdir()
        new.write_bytes(b"1")

    def grow():
        new.write_bytes(b"12")

    assert found(tmp_path, start, grow, nothing, nothing) == [[], [], ["below/new.jpg"], []]


def test_a_file_that_stalled_or_was_replaced_is_found_again(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"1")
    again = [lambda: photo.write_bytes(b"12"), nothing, photo.unlink]
    again += [lambda: photo.write_bytes(b"12"), nothing]
    assert found(tmp_path, *again) == [[], ["a.jpg"], [], [], ["a.jpg"]]


def test_unfinished_downloads_empty_files_and_sidecars_are_passed_over(tmp_path):
    def come():
        for name in ("a.jpg.part", ".hidden.jpg", "a.jpg.json", "B.XMP", "a.jpg"):
            (tmp_path / name).write_bytes(b"1")
        (tmp_path / "empty.jpg").touch()

    def rename():
        (tmp_path / "a.jpg.part").rename(tmp_path / "b.jpg")

    assert found(tmp_path, come, rename, nothing) == [[], ["a.jpg"], ["b.jpg"]]


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    folder = tmp_path / "inbox"
    with pytest.raises(UserError, match="inbox: expected a folder, and there is none"):
        new_files(folder)
    folder.mkdir()
    with pytest.raises(UserError, match="expected a folder"):
        next(new_files(folder, wait=lambda _: shutil.rmtree(folder)))
