"""A whole download against real servers: what comes, what does not, and what is asked for again."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from paths import REPOSITORY
from photo_server import BODY, PhotoServer, photo_bytes

from tfrecords.common.console import UserError
from tfrecords.common.types import REASONS, Photo, Skipped
from tfrecords.download.downloader import OUTAGE, PATIENCE, fetch_photos
from tfrecords.download.journal import OutcomeJournal
from tfrecords.download.options import FetchOptions
from tfrecords.sources.photo_paths import photo_path

OPTIONS = FetchOptions(
    allow_private=True,
    timeout=0.8,
    deadline=1.6,
    retries=1,
    backoff=0.01,
    max_wait=0.05,
    max_bytes=5 * BODY,
    per_host=16,
)
NO_URL = "not an http:// or https:// URL"
PATIENT = replace(OPTIONS, timeout=20.0, deadline=60.0)  # where nothing is to time out


@pytest.fixture
def servers():
    """Makes servers that are closed after the test."""
    made = []

    def make(port=0):
        made.append(PhotoServer(port=port))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(servers):
    return servers()


def dead_servers(count):
    """Ports that nobody listens at."""
    made = [PhotoServer() for _ in range(count)]
    for server in made:
        server.close()
    return [server.server_port for server in made]


def listed(*locations):
    """An index of these URLs; the ids tell their order."""
    return [Photo(f"{i:016x}", "7", location) for i, location in enumerate(locations)]


def kept(folder):
    """Bytes of each file in the folder by its name, other than the journal."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "downloads.csv")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def journal_rows(folder):
    with open(folder / "downloads.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_of_server(server, tmp_path):
    photo = photo_bytes("x")
    expected = {
        "good/x": photo,
        "slow/x": photo,
        "chunks/x": photo,
        "flaky/x": photo,
        "cut-once/x": photo,
        "busy/1": photo_bytes("1"),
        "busy-until/1": photo_bytes("1"),
        "truncated/x": photo[: BODY // 2],
        "to//good/y": photo_bytes("y"),
        "to//to//good/z": photo_bytes("z"),
        "status/404": ("not found", "HTTP 404"),
        "status/410": ("not found", "HTTP 410"),
        "status/500": ("server error", "HTTP 500"),
        "status/429": ("server error", "HTTP 429"),
        "stall/": ("no answer", "nothing came for 0.8 s"),
        "stall-later/": ("no answer", "nothing came for 0.8 s"),
        "drip/": ("no answer", "not done within 1.6 s"),
        "hang-up/": ("no answer", "the connection was lost"),
        "endless/": ("too many bytes", "more than 100000"),
        "endless-chunks/": ("too many bytes", "more than 100000"),
        "loop/1": ("too many redirects", "more than 5"),
        "to/file:///etc/passwd": (
            "bad address",
            "after a redirect: not an http:// or https:// URL",
        ),
        "page/": ("not a photo", "text/html"),
        "short/": ("incomplete", "fewer than 21000 bytes"),
        "empty/": ("empty", ""),
    }
    photos = listed(*(server.url("/" + path) for path in expected))
    results = dict(zip((photo.photo_id for photo in photos), expected.values(), strict=True))
    failures = {
        photo_id: Skipped(photo_id, *result)
        for photo_id, result in results.items()
        if isinstance(result, tuple)
    }
    files = {
        f"0/0/0/{photo_id}.jpg": result
        for photo_id, result in results.items()
        if isinstance(result, bytes)
    }
    skipped = fetch_photos(photos, tmp_path, OPTIONS)
    assert list(skipped.items()) == list(failures.items())
    assert {row.reason for row in failures.values()} <= set(REASONS)
    assert kept(tmp_path) == files
    twice = {"flaky/x", "cut-once/x", "busy/1", "busy-until/1", "status/500", "status/429"}
    twice |= {"stall/", "stall-later/", "drip/", "hang-up/", "short/"}
    assert {path for path in expected if server.requests["/" + path] == 2} == twice
    assert max(server.requests.values()) == 2
    assert [path for path in sorted(server.requests) if "loop" in path] == [
        f"/loop/{hop}" for hop in range(1, 7)
    ]

    asked = server.requests.copy()
    again = fetch_photos(photos, tmp_path, OPTIONS)
    assert list(again.items()) == list(failures.items())
    assert (server.requests, kept(tmp_path)) == (asked, files)


def test_failed_photos_are_asked_for_again_only_on_demand(server, tmp_path):
    paths = ["/good/x", "/status/404", "/flaky/y"]
    photos = listed(*map(server.url, paths))
    once = replace(OPTIONS, retries=0)
    assert list(fetch_photos(photos, tmp_path, once)) == [photos[1].photo_id, photos[2].photo_id]
    skipped = fetch_photos(photos, tmp_path, replace(once, retry_failed=True))
    assert list(skipped) == [photos[1].photo_id]
    assert server.requests == {"/good/x": 1, "/status/404": 2, "/flaky/y": 2}
    assert fetch_photos(photos, tmp_path, once) == skipped
    assert server.requests.total() == 5
    photo_path(tmp_path, photos[2].photo_id).unlink()
    assert fetch_photos(photos, tmp_path, once) == skipped
    assert server.requests["/flaky/y"] == 3  # its last outcome was a photo


def test_another_url_for_a_photo_is_another_question(server, tmp_path):
    was = listed(*map(server.url, ["/good/a", "/good/b", "/status/404", "/good/d"]))
    now = listed(*map(server.url, ["/good/A", "/status/410", "/good/C", "/good/d"]))
    fetch_photos(was, tmp_path, OPTIONS)
    for _ in range(2):
        skipped = fetch_photos(now, tmp_path, OPTIONS)
        assert skipped == {now[1].photo_id: Skipped(now[1].photo_id, "not found", "HTTP 410")}
        assert kept(tmp_path) == {
            f"0/0/0/{now[0].photo_id}.jpg": photo_bytes("A"),
            f"0/0/0/{now[2].photo_id}.jpg": photo_bytes("C"),
            f"0/0/0/{now[3].photo_id}.jpg": photo_bytes("d"),
        }
    assert set(server.requests.values()) == {1}
    fetch_photos(was, tmp_path, OPTIONS)
    assert kept(tmp_path)[f"0/0/0/{was[0].photo_id}.jpg"] == photo_bytes("a")


def test_files_of_the_user_stay_and_lost_ones_come_again(server, tmp_path):
    photos = listed(*map(server.url, ["/good/mine", "/good/lost", "/good/hollow", "/status/404"]))
    fetch_photos(photos[1:], tmp_path, OPTIONS)
    own, lost, hollow, gone = (photo_path(tmp_path, photo.photo_id) for photo in photos)
    own.write_bytes(b"my own")
    gone.write_bytes(b"found elsewhere")
    hollow.write_bytes(b"")  # as a power cut may leave it
    lost.unlink()
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert (own.read_bytes(), gone.read_bytes()) == (b"my own", b"found elsewhere")
    assert (lost.read_bytes(), hollow.read_bytes()) == (photo_bytes("lost"), photo_bytes("hollow"))
    assert server.requests == {"/good/lost": 2, "/good/hollow": 2, "/status/404": 1}


def test_larger_limits_and_private_networks_are_new_questions(server, tmp_path):
    photos = listed(server.url("/good/x"), server.url("/status/404"))
    strict = replace(OPTIONS, allow_private=False)
    private = {
        p.photo_id: Skipped(p.photo_id, "bad address", "leads into a private network")
        for p in photos
    }
    assert fetch_photos(photos, tmp_path, strict) == private
    assert fetch_photos(photos, tmp_path, strict) == private
    assert (server.requests, len(journal_rows(tmp_path))) == ({}, 2)
    small = fetch_photos(photos, tmp_path, replace(OPTIONS, max_bytes=BODY))
    assert [row.reason for row in small.values()] == ["too many bytes", "not found"]
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, max_bytes=BODY - 1)) == small
    assert [row.reason for row in fetch_photos(photos, tmp_path, OPTIONS).values()] == ["not found"]
    assert server.requests == {"/good/x": 2, "/status/404": 1}


@pytest.mark.parametrize("photo_id", ["../x", "..", "/etc/passwd", "a/b", "x\n", "a\\b", ""])
def test_unsafe_names_are_never_joined_to_a_path(server, tmp_path, photo_id):
    photos = [
        Photo(photo_id, "7", server.url("/good/x")),
        Photo("safe", "7", server.url("/good/y")),
    ]
    folder = tmp_path / "photos"
    assert fetch_photos(photos, folder, OPTIONS) == {photo_id: Skipped(photo_id, "unsafe name")}
    assert kept(tmp_path) == {"photos/safe.jpg": photo_bytes("y")}
    assert server.requests == {"/good/y": 1}


def test_urls_that_are_none_are_told_apart_without_a_question(tmp_path):
    photos = listed("", "ftp://x/a.jpg", "http://x/a\nb", " /etc/passwd ")
    details = [row.detail for row in fetch_photos(photos, tmp_path, OPTIONS).values()]
    assert details == [NO_URL, NO_URL, "a URL with control characters", NO_URL]
    assert journal_rows(tmp_path) == []


def test_each_redirect_is_checked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tfrecords.download.addresses.is_public", lambda address: address == "127.0.0.1"
    )
    port = server.server_port
    photos = listed(
        server.url(f"/to/http://127.0.0.2:{port}/good/x"),
        server.url(f"/to/http://[::1]:{port}/good/x"),
        server.url("/to//good/y"),
    )
    skipped = fetch_photos(photos, tmp_path, replace(OPTIONS, allow_private=False))
    private = ("bad address", "leads into a private network")
    assert [(row.reason, row.detail) for row in skipped.values()] == [private, private]
    assert kept(tmp_path) == {f"0/0/0/{photos[2].photo_id}.jpg": photo_bytes("y")}


def test_servers_see_no_more_requests_at_once_than_allowed(servers, tmp_path):
    one, two = servers(), servers()
    photos = listed(*(s.url(f"/slow/{i}") for s in (one, two) for i in range(12)))
    assert fetch_photos(photos, tmp_path, replace(PATIENT, workers=5, per_host=3)) == {}
    assert 1 < max(one.peak, two.peak) <= 3
    assert len(kept(tmp_path)) == 24


def test_all_servers_together_see_no_more_requests_than_workers(server, tmp_path):
    photos = listed(*(server.url(f"/slow/{i}") for i in range(12)))
    assert fetch_photos(photos, tmp_path, replace(PATIENT, workers=4)) == {}
    assert 1 < server.peak <= 4


def test_redirects_do_not_get_round_the_limit_of_a_server(servers, tmp_path):
    doors, room = [servers() for _ in range(3)], servers()
    paths = [f"/to/{room.url(f'/slow/{i}')}" for i in range(12)]
    photos = listed(*(doors[i % 3].url(path) for i, path in enumerate(paths)))
    assert fetch_photos(photos, tmp_path, replace(PATIENT, per_host=2)) == {}
    assert room.peak <= 2
    assert room.requests.total() == 12


def test_connections_are_used_again(server, tmp_path):
    paths = ["/good/1", "/status/404", "/to//good/2", "/status/500", "/empty/", "/chunks/3"]
    photos = listed(*(server.url(path) for path in paths))
    assert len(fetch_photos(photos, tmp_path, replace(PATIENT, workers=1))) == 3
    assert (server.requests.total(), server.connections) == (8, 1)


def test_a_stalled_server_does_not_hold_up_another(servers, tmp_path):
    stalled, good = servers(), servers()
    photos = listed(
        *(stalled.url(f"/stall/{i}") for i in range(4)),
        *(good.url(f"/good/{i}") for i in range(20)),
    )
    options = replace(OPTIONS, workers=3, per_host=2, timeout=1.0, deadline=5.0, retries=0)
    assert len(fetch_photos(photos, tmp_path, options)) == 4
    outcomes = [row["outcome"] for row in journal_rows(tmp_path)]
    assert outcomes == ["ok"] * 20 + ["no answer"] * 4


def test_a_busy_server_is_left_alone_as_long_as_it_asks(servers, tmp_path):
    busy, good = servers(), servers()
    photos = listed(
        busy.url("/busy/1"), busy.url("/good/x"), *map(good.url, ["/slow/1", "/slow/2"])
    )
    options = replace(PATIENT, workers=1, per_host=1, max_wait=2.0)
    assert fetch_photos(photos, tmp_path, options) == {}
    order = [row["photo_id"][-1] for row in journal_rows(tmp_path)]
    assert order == ["2", "3", "0", "1"]


def test_a_dead_server_is_given_up_and_tried_again_by_the_next_call(server, tmp_path):
    (port,) = dead_servers(1)
    photos = listed(
        server.url("/good/x"), *(f"http://127.0.0.1:{port}/{i}" for i in range(PATIENCE + 20))
    )
    options = replace(OPTIONS, per_host=1, retries=0)
    fetch_photos(photos[:1], tmp_path, options)
    skipped = fetch_photos(photos, tmp_path, options)
    assert list(skipped) == [photo.photo_id for photo in photos[1:]]
    assert {row.reason for row in skipped.values()} == {"no answer"}
    asked = [row.detail for row in skipped.values()].count("Connection refused")
    assert PATIENCE <= asked <= PATIENCE + 1  # one more may have been started
    not_asked = f"not asked: 127.0.0.1:{port} failed {PATIENCE} in a row"
    assert skipped[photos[-1].photo_id].detail == not_asked
    assert len(journal_rows(tmp_path)) == 1 + asked
    fetch_photos(photos, tmp_path, options)
    assert len(journal_rows(tmp_path)) == len(photos)


def test_a_broken_network_stops_the_download_and_marks_nothing_as_dead(servers, tmp_path):
    ports = dead_servers(3)
    photos = listed(*(f"http://127.0.0.1:{ports[i % 3]}/good/{i}" for i in range(3 * OUTAGE)))
    text = (
        rf"{OUTAGE} photos in a row got no answer \(from 127.0.0.1:\d+, 127.0.0.1:\d+, "
        r"127.0.0.1:\d+\), and no server that answered before can be reached. Check the network"
    )
    for _ in range(2):
        with pytest.raises(UserError, match=text):
            fetch_photos(photos, tmp_path, OPTIONS)
        assert journal_rows(tmp_path) == []
    for port in ports:
        servers(port)
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}


def test_a_network_that_breaks_on_the_way_stops_the_download(servers, tmp_path):
    first, second = servers(), servers()
    photos = listed(first.url("/good/x"), *(second.url(f"/good/{i}") for i in range(OUTAGE)))
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    first.close()
    second.close()
    with pytest.raises(UserError, match="Check the network"):
        fetch_photos(photos, tmp_path, OPTIONS)
    assert [row["outcome"] for row in journal_rows(tmp_path)] == ["ok"]


def test_dead_servers_are_no_broken_network(server, tmp_path):
    # What is left when all that can be had is there: else no call would ever end well.
    ports = dead_servers(4)
    photos = listed(
        server.url("/good/x"), *(f"http://127.0.0.1:{ports[i % 4]}/{i}" for i in range(2 * OUTAGE))
    )
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    skipped = fetch_photos(photos, tmp_path, OPTIONS)
    assert len(skipped) == 2 * OUTAGE
    assert len(journal_rows(tmp_path)) == 1 + 2 * OUTAGE
    assert server.requests == {"/good/x": 1}  # the network was looked at without a question


def test_few_failures_of_an_unproven_network_are_told_but_asked_again(tmp_path):
    (port,) = dead_servers(1)
    photos = listed(f"http://127.0.0.1:{port}/x")
    skipped = fetch_photos(photos, tmp_path, OPTIONS)
    assert skipped == {
        photos[0].photo_id: Skipped(photos[0].photo_id, "no answer", "Connection refused")
    }
    assert journal_rows(tmp_path) == []


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
def test_killed_anywhere_it_goes_on_and_asks_for_nothing_twice(
    server, start_download, tmp_path, after
):
    photos = listed(*(server.url(f"/slow/{i}") for i in range(36)), server.url("/status/404"))
    process = start_download(tmp_path, photos)
    wait_until(lambda: server.requests.total() >= after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert server.requests.total() < 37
    skipped = fetch_photos(photos, tmp_path, PATIENT)
    assert list(skipped) == [photos[-1].photo_id]
    assert kept(tmp_path) == {f"0/0/0/{i:016x}.jpg": photo_bytes(str(i)) for i in range(36)}
    assert server.requests.total() <= 37 + 4  # those under way when it died


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


def test_a_full_disk_stops_the_download_and_the_same_call_goes_on(server, tmp_path):
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


def test_progress_is_told_on_standard_error(server, tmp_path, capfd):
    fetch_photos(listed(server.url("/good/x"), server.url("/status/404")), tmp_path, OPTIONS)
    out, err = capfd.readouterr()
    assert out == ""
    last = err.rsplit("\r", 1)[-1]
    assert re.search(r"Fetching photos: 100%.* 2/2 .* photos/s, [\d.]+ MB/s, 1 failed\]", last)


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


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("workers", 0, "--workers must be more than 0, got 0"),
        ("per_host", -1, "--per-host must be more than 0, got -1"),
        ("timeout", float("nan"), "--timeout must be more than 0, got nan"),
        ("max_bytes", 0, "--max-bytes must be more than 0, got 0"),
        ("retries", -1, "--retries must be 0 or more, got -1"),
        ("host_delay", -0.5, "--host-delay must be 0 or more, got -0.5"),
        ("user_agent", " ", "--user-agent must be a line of ASCII text, got  "),
        ("user_agent", "a\r\nHost: b", "--user-agent must be a line of ASCII text, got a"),
    ],
)
def test_options_out_of_range_are_named(name, value, text):
    with pytest.raises(UserError, match=re.escape(text)):
        FetchOptions(**{name: value})
