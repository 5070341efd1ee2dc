"""Downloads that are killed, interrupted, or end for want of space lose nothing."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from paths import REPOSITORY
from photo_lists import OPTIONS, journal_rows, kept, listed
from photo_server import photo_bytes

from tfrecords.common.console import UserError
from tfrecords.download.downloader import (
    fetch_photos,
)
from tfrecords.download.journal import OutcomeJournal
from tfrecords.sources.photo_paths import photo_path

DOWNLOAD = """
import sys
from dataclasses import replace
from pathlib import Path
from tfrecords.download.downloader import fetch_photos
from tfrecords.download.options import FetchOptions
from tfrecords.common.types import Photo

folder, *locations = sys.argv[1:]
photos = [Photo(f"{i:016x}", "7", location) for i, location in enumerate(locations)]
options = FetchOptions(allow_private=True, workers=4, per_host=4, timeout=60, deadline=600)
try:
    fetch_photos(photos, Path(folder), options)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def start_download():
    """Starts a download in a process of its own."""
    started = []

    def start(folder, photos):
        command = [sys.executable, "-c", DOWNLOAD, folder, *(photo.location for photo in photos)]
        root = REPOSITORY
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=root, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("after", [3, 17, 31])
def test_killed_anywhere_it_resumes_and_asks_for_nothing_twice(
    server, start_download, tmp_path, after
):
    photos = listed(
        *(server.url(f"/slow/{i}") for i in range(31)),
        *(server.url(f"/gated/{i}") for i in range(31, 36)),  # it can't end before it is killed
        server.url("/status/404"),
    )
    process = start_download(tmp_path, photos)
    wait_until(lambda: server.requests.total() >= after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.gate.set()
    skipped = fetch_photos(photos, tmp_path, OPTIONS)
    assert list(skipped) == [photos[-1].photo_id]
    assert kept(tmp_path) == {f"0/0/0/{i:016x}.jpg": photo_bytes(str(i)) for i in range(36)}
    assert 37 < server.requests.total() <= 37 + 4  # those under way when it died


def test_interrupted_it_stops_at_once_and_loses_nothing(server, start_download, tmp_path):
    paths = [
        "/good/a",
        "/status/404",
        "/good/b",
        "/stall/1",
        "/drip/2",
        "/drip-header/3",
        "/stall/4",
    ]
    photos = listed(*map(server.url, paths))
    process = start_download(tmp_path, photos)
    wait_until(lambda: all(server.requests[path] for path in paths))
    wait_until(lambda: len(journal_rows(tmp_path)) == 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)  # a stalled request would take 60 s
    assert (out, process.returncode) == ("interrupted\n", 0), err
    outcomes = {row["photo_id"]: row["outcome"] for row in journal_rows(tmp_path)}
    ids = [photo.photo_id for photo in photos]
    assert outcomes == {ids[0]: "ok", ids[1]: "not found", ids[2]: "ok"}
    assert set(kept(tmp_path)) == {f"0/0/0/{ids[0]}.jpg", f"0/0/0/{ids[2]}.jpg"}


def test_a_second_process_is_refused(server, start_download, tmp_path):
    photos = listed(server.url("/stall/1"))
    start_download(tmp_path, photos)
    wait_until(lambda: server.requests.total())
    with pytest.raises(UserError, match="Another process is fetching photos into"):
        fetch_photos(photos, tmp_path, OPTIONS)


def test_a_full_disk_stops_the_download_and_the_same_call_resumes(server, tmp_path):
    photos = listed(*map(server.url, ["/good/a", "/good/b"]))
    full = photo_path(tmp_path, photos[1].photo_id)
    full.parent.mkdir(parents=True)
    part = full.with_name(f".{full.name}.part")
    os.symlink("/dev/full", part)
    with pytest.raises(OSError, match="No space left on device"):
        fetch_photos(photos, tmp_path, OPTIONS)
    assert not full.exists()
    assert not part.is_symlink()
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert full.read_bytes() == photo_bytes("b")


def test_progress_is_shown_on_standard_error(server, tmp_path, capfd):
    fetch_photos(listed(server.url("/good/x"), server.url("/status/404")), tmp_path, OPTIONS)
    out, err = capfd.readouterr()
    assert out == ""
    last = err.rsplit("\r", 1)[-1]
    assert re.search(r"Fetching photos: 100%.* 2/2 .* photos/s, [\d.]+ MB/s, 1 failed\]", last)


def test_a_server_that_is_waited_for_is_shown(server, tmp_path, capfd):
    fetch_photos(listed(server.url("/busy/1")), tmp_path, OPTIONS)
    err = capfd.readouterr().err
    assert re.search(rf"0/1 .* 0 failed, waiting: HTTP 429 from {server.name}\]", err)


def test_nothing_to_do_is_done_silently(server, tmp_path, capfd):
    photos = listed(server.url("/good/x"))
    fetch_photos(photos, tmp_path, OPTIONS)
    capfd.readouterr()
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert capfd.readouterr() == ("", "")


def test_a_folder_in_use_is_not_read_further(server, tmp_path):
    photos = listed(server.url("/good/x"))
    with OutcomeJournal(tmp_path), pytest.raises(UserError, match="Another process"):
        fetch_photos(photos, tmp_path, OPTIONS)
    assert server.requests == {}
