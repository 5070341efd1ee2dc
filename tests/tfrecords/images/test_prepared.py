"""Prepared photos: each read once, whatever kills the process, and none that has changed since."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from paths import PYTHONPATH
from photo_files import encode, grain

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.convert import prepare_photo
from tfrecords.images.fingerprints import fingerprint
from tfrecords.images.prepared import (
    MIN_PARALLEL_PHOTOS,
    Prepared,
    PreparedPhotos,
    digest_of,
    prepare,
)
from tfrecords.sources.source import FileReader

SHORT_SIDE = 40


@dataclass(frozen=True)
class LoggedReader(FileReader):
    """Notes every photo it reads."""

    log: Path

    def read(self, photo):
        with open(self.log, "a") as log:
            log.write(photo.photo_id + "\n")
        return super().read(photo)


def photo_bytes(number):
    return encode(grain(50, 44, number))


def write_photos(folder, count):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.jpg").write_bytes(photo_bytes(number))
    return listed(folder)


def listed(folder):
    return [Photo(path.name, "a", str(path)) for path in sorted(folder.iterdir())]


def read_log(path):
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", 5)


def fill(tmp_path, photos, **options):
    with PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE) as prepared:
        prepared.fill(photos, LoggedReader(tmp_path / "log"), **options)
        return list(prepared.outcomes(photos))


def test_outcomes_are_those_of_the_prepared_photos(photos, tmp_path):
    Path(photos[1].location).write_bytes(b"")
    Path(photos[3].location).unlink()
    with PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE) as prepared:
        prepared.fill(photos, FileReader())
        outcomes = list(prepared.outcomes(photos))
        jpegs = {i: prepared.read(photos[i]) for i in (0, 2, 4)}
    assert outcomes[1] == Skipped("001.jpg", "empty")
    assert outcomes[3] == Skipped("003.jpg", "missing")
    for i, jpeg in jpegs.items():
        assert jpeg == prepare_photo(photo_bytes(i), SHORT_SIDE)
        assert outcomes[i] == Prepared(
            digest_of(jpeg), fingerprint(jpeg), digest_of(photo_bytes(i))
        )
    assert len({outcomes[i].digest for i in jpegs}) == 3


def test_a_photo_the_system_won_t_give_is_unreadable(tmp_path):
    def refused(photo):
        raise PermissionError(13, "Permission denied")

    outcome = prepare(Photo("1.jpg", "a"), refused, SHORT_SIDE)
    assert outcome == Skipped("1.jpg", "unreadable", "Permission denied")


def test_processes_give_what_one_process_gives(tmp_path):
    photos = write_photos(tmp_path / "photos", MIN_PARALLEL_PHOTOS + 10)
    Path(photos[7].location).write_bytes(b"<html>")
    one = fill(tmp_path, photos, processes=1)
    (tmp_path / "prepared.sqlite").unlink()
    assert fill(tmp_path, photos, processes=2) == one
    assert one[7] == Skipped("007.jpg", "not a photo")
    assert sorted(read_log(tmp_path / "log")) == sorted(2 * [photo.photo_id for photo in photos])


def test_what_is_done_is_not_read_again(photos, tmp_path, capsys):
    first = fill(tmp_path, photos[:3])
    again = fill(tmp_path, photos)
    assert again[:3] == first
    assert read_log(tmp_path / "log") == [photo.photo_id for photo in photos]
    assert "3 photos were read before; reading the other 2.\n" in capsys.readouterr().out


def test_bad_photos_are_not_read_again_either(photos, tmp_path):
    Path(photos[0].location).write_bytes(b"")
    assert fill(tmp_path, photos)[0] == Skipped("000.jpg", "empty")
    assert fill(tmp_path, photos)[0] == Skipped("000.jpg", "empty")
    assert read_log(tmp_path / "log") == [photo.photo_id for photo in photos]


def test_a_photo_that_changed_since_is_read_again(photos, tmp_path):
    before = fill(tmp_path, photos)
    Path(photos[2].location).write_bytes(photo_bytes(99))
    after = fill(tmp_path, photos)
    assert [old == new for old, new in zip(before, after, strict=True)] == [1, 1, 0, 1, 1]
    assert read_log(tmp_path / "log")[5:] == [photos[2].photo_id]


def test_a_photo_that_came_since_is_read(photos, tmp_path):
    path = Path(photos[0].location)
    data = path.read_bytes()
    path.unlink()
    assert fill(tmp_path, photos)[0] == Skipped("000.jpg", "missing")
    path.write_bytes(data)
    assert isinstance(fill(tmp_path, photos)[0], Prepared)


def test_another_short_side_is_refused(photos, tmp_path):
    fill(tmp_path, photos)
    expected = f'{tmp_path} holds a build that was started with {{"format": 3, "short_side": 40,'
    with (
        pytest.raises(UserError, match=re.escape(expected)),
        PreparedPhotos(tmp_path / "prepared.sqlite", 50),
    ):
        pass
    assert len(fill(tmp_path, photos)) == 5


def test_a_second_user_is_refused_as_long_as_the_first_works(tmp_path):
    expected = f"Another process is building in {tmp_path}. Wait for it to end, or name another"
    with (
        PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE),
        pytest.raises(UserError, match=re.escape(expected)),
        PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE),
    ):
        pass
    with PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE):
        pass


def test_a_file_torn_by_a_power_failure_is_named(photos, tmp_path):
    fill(tmp_path, photos)
    (tmp_path / "prepared.sqlite").write_bytes(b"no database" * 1000)
    expected = f"What an interrupted build left in {tmp_path} can't be read"
    with pytest.raises(UserError, match=re.escape(expected)):
        fill(tmp_path, photos)


class KillerReader(FileReader):
    """Ends the process that reads certain photos, as the system does where memory runs out."""

    def read(self, photo):
        if photo.photo_id in ("007.jpg", "040.jpg"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(photo)


def test_a_photo_that_kills_its_process_is_named_and_the_others_are_read(tmp_path):
    photos = write_photos(tmp_path / "photos", 50)
    with PreparedPhotos(tmp_path / "prepared.sqlite", SHORT_SIDE) as prepared:
        prepared.fill(photos, KillerReader(), processes=2)
        outcomes = dict(zip(photos, prepared.outcomes(photos), strict=True))
    costly = [one for one in outcomes.values() if isinstance(one, Skipped)]
    assert costly == [Skipped(name, "too costly") for name in ("007.jpg", "040.jpg")]
    assert sum(isinstance(one, Prepared) for one in outcomes.values()) == 48


SLOW_FILL = """
import sys, time
from pathlib import Path
from tests.tfrecords.images.test_prepared import LoggedReader, listed, SHORT_SIDE
from tfrecords.images.prepared import PreparedPhotos

class Slow(LoggedReader):
    def read(self, photo):
        time.sleep(0.02)
        return super().read(photo)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with PreparedPhotos(folder / "prepared.sqlite", SHORT_SIDE) as prepared:
        prepared.fill(listed(folder / "photos"), Slow(folder / "log"), processes=2)
"""


def test_a_killed_process_loses_a_second_s_work_and_leaves_no_children(tmp_path):
    photos = write_photos(tmp_path / "photos", 400)
    (tmp_path / "fill.py").write_text(SLOW_FILL)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "fill.py", tmp_path],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while len(read_log(tmp_path / "log")) < 200:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while _is_alive(process.pid):
        assert time.monotonic() < deadline, "worker processes outlive their parent"
        time.sleep(0.1)
    before = read_log(tmp_path / "log")
    fill(tmp_path, photos)
    again = read_log(tmp_path / "log")[len(before) :]
    assert len(again) < len(photos) - 50
    assert set(before) | set(again) == {photo.photo_id for photo in photos}


def _is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
