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
from tfrecords.download import addresses, downloader, hosts
from tfrecords.download.downloader import (
    OUTAGE_PHOTOS,
    THROTTLED_TRIES,
    fetch_photos,
    mark_unusable,
)
from tfrecords.download.hosts import MAX_FAILURES
from tfrecords.download.journal import OutcomeJournal
from tfrecords.download.missing import MissingPhotosError
from tfrecords.download.options import FetchOptions
from tfrecords.sources.photo_paths import photo_path

OPTIONS = FetchOptions(
    allow_private=True,
    timeout=20.0,  # nothing is to time out here
    deadline=60.0,
    retries=1,
    backoff=0.01,
    max_wait=0.05,
    max_bytes=5 * BODY,
    per_host=16,
)
INCOMPLETE = replace(OPTIONS, allow_missing="100%")
NO_URL = "not an http:// or https:// URL"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


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
    """An index of these URLs; the ids are in their order."""
    return [Photo(f"{i:016x}", "7", location) for i, location in enumerate(locations)]


def kept(folder):
    """Bytes of each file in the folder by its name, other than the journal and its lock."""
    own = {"downloads.csv", ".downloads.lock"}
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in own)
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
        "as-html/x": photo,
        "truncated/x": photo[: BODY // 2],
        "to//good/y": photo_bytes("y"),
        "to//to//good/z": photo_bytes("z"),
        "status/404": ("not found", "HTTP 404"),
        "status/410": ("not found", "HTTP 410"),
        "status/403": ("refused", "HTTP 403"),
        "status/500": ("server error", "HTTP 500"),
        "status/408": ("server error", "HTTP 408"),
        "garbage/": ("no answer", "the connection was lost"),
        "hang-up/": ("no answer", "the connection was lost"),
        "endless/": ("too many bytes", "more than 100000"),
        "endless-chunks/": ("too many bytes", "more than 100000"),
        "loop/1": ("too many redirects", "more than 5"),
        "to/file:///etc/passwd": (
            "bad address",
            "after a redirect: not an http:// or https:// URL",
        ),
        "json/": ("not a photo", "application/json"),
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
    skipped = fetch_photos(photos, tmp_path, INCOMPLETE)
    assert list(skipped.items()) == list(failures.items())
    assert {row.reason for row in failures.values()} <= set(REASONS)
    assert kept(tmp_path) == files
    temporary = {"status/500", "status/408", "garbage/", "short/"}
    # aiohttp sends a request again if it went over a kept connection that was then closed.
    assert 2 <= server.requests.pop("/hang-up/") <= 4
    twice = {"flaky/x", "cut-once/x", "busy/1", "busy-until/1"} | temporary
    assert {path for path in expected if server.requests["/" + path] == 2} == twice
    assert max(server.requests.values()) == 2
    assert [path for path in sorted(server.requests) if "loop" in path] == [
        f"/loop/{hop}" for hop in range(1, 7)
    ]

    asked = server.requests.copy()
    again = fetch_photos(photos, tmp_path, INCOMPLETE)
    assert list(again.items()) == list(failures.items())
    assert kept(tmp_path) == files
    server.requests.pop("/hang-up/")
    assert server.requests - asked == {f"/{path}": 2 for path in temporary}


def test_what_is_gone_is_asked_for_again_only_on_demand(server, tmp_path):
    photos = listed(*map(server.url, ["/good/x", "/status/404"]))
    skipped = fetch_photos(photos, tmp_path, OPTIONS)
    assert list(skipped) == [photos[1].photo_id]
    assert fetch_photos(photos, tmp_path, OPTIONS) == skipped
    assert server.requests == {"/good/x": 1, "/status/404": 1}
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, retry_failed=True)) == skipped
    assert server.requests == {"/good/x": 1, "/status/404": 2}


def test_temporary_failures_end_the_download_and_the_same_call_resumes(server, tmp_path):
    photos = listed(*map(server.url, ["/good/x", "/flaky/y", "/status/500", "/status/404"]))
    once = replace(OPTIONS, retries=0)
    with pytest.raises(MissingPhotosError) as error:
        fetch_photos(photos, tmp_path, once)
    assert error.value.exit_code == 3
    assert str(error.value) == (
        "2 of 4 photos are not fetched yet, and nothing was built:\n"
        "  2 server error (HTTP 500)\n"
        f"What came is kept in {tmp_path}. The same command fetches the rest; to build without it, "
        "add --allow-missing 50%."
    )
    with pytest.raises(MissingPhotosError, match=r"^1 of 4 (.|\n)* add --allow-missing 25%\.$"):
        fetch_photos(photos, tmp_path, once)
    with pytest.raises(MissingPhotosError, match=r"^1 of 4 "):
        fetch_photos(photos, tmp_path, replace(once, allow_missing="24.9%"))
    skipped = fetch_photos(photos, tmp_path, replace(once, allow_missing="25%"))
    assert [row.reason for row in skipped.values()] == ["server error", "not found"]
    assert server.requests == {"/good/x": 1, "/flaky/y": 2, "/status/500": 4, "/status/404": 1}


def test_what_is_no_photo_is_fetched_again_on_demand(server, tmp_path):
    photos = listed(*map(server.url, ["/truncated/a", "/good/b", "/good/c"]))
    own = photo_path(tmp_path, photos[2].photo_id)
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own")
    fetch_photos(photos, tmp_path, OPTIONS)
    reasons = {photos[0].photo_id: "damaged", photos[2].photo_id: "not a photo"}
    mark_unusable(photos, tmp_path, reasons)
    assert [row["outcome"] for row in journal_rows(tmp_path)] == ["ok", "ok", "damaged"]
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert server.requests == {"/truncated/a": 1, "/good/b": 1}
    again = replace(OPTIONS, retry_failed=True)
    assert fetch_photos(photos, tmp_path, again) == {}
    assert server.requests == {"/truncated/a": 2, "/good/b": 1}
    assert own.read_bytes() == b"my own"


def test_a_file_that_is_no_photo_stays_until_a_better_one_comes(server, tmp_path):
    photos = listed(server.url("/once/a"))
    fetch_photos(photos, tmp_path, OPTIONS)
    mark_unusable(photos, tmp_path, {photos[0].photo_id: "damaged"})
    for _ in range(2):
        assert fetch_photos(photos, tmp_path, replace(OPTIONS, retry_failed=True)) == {}
        assert kept(tmp_path) == {f"0/0/0/{photos[0].photo_id}.jpg": photo_bytes("a")}
    assert server.requests == {"/once/a": 3}


def test_a_body_that_is_no_photo_is_fetched_again_on_demand(server, tmp_path):
    photos = listed(server.url("/json/a"))
    for times in (1, 1):
        assert [row.reason for row in fetch_photos(photos, tmp_path, OPTIONS).values()] == [
            "not a photo"
        ]
        assert server.requests["/json/a"] == times
    fetch_photos(photos, tmp_path, replace(OPTIONS, retry_failed=True))
    assert server.requests["/json/a"] == 2


@pytest.mark.parametrize("name", ["{}.jpg", "{}.png", "{0[0]}/{0[1]}/{0[2]}/{0}.JPG"])
def test_photos_that_the_user_has_put_there_are_not_fetched(server, tmp_path, name):
    photos = listed(server.url("/good/x"), server.url("/good/y"))
    path = tmp_path / name.format(photos[0].photo_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"my own")
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert server.requests == {"/good/y": 1}


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


def test_larger_limits_and_private_networks_are_new_questions(server, tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "PUBLIC_PORTS", (server.server_port,))
    photos = listed(server.url("/good/x"), server.url("/status/404"))
    strict = replace(OPTIONS, allow_private=False)
    private = {
        p.photo_id: Skipped(p.photo_id, "bad address", "leads into a private network")
        for p in photos
    }
    assert fetch_photos(photos, tmp_path, strict) == private
    assert fetch_photos(photos, tmp_path, strict) == private
    assert (server.requests, len(journal_rows(tmp_path))) == ({}, 2)
    monkeypatch.setattr(addresses, "PUBLIC_PORTS", (80,))
    other = fetch_photos(listed(server.url("/good/y")), tmp_path / "2", strict)
    assert [row.detail for row in other.values()] == [
        f"port {server.server_port}: only 80 and 443 without --allow-private"
    ]
    assert fetch_photos(listed(server.url("/good/y")), tmp_path / "2", OPTIONS) == {}
    small = fetch_photos(photos, tmp_path, replace(OPTIONS, max_bytes=BODY))
    assert [row.reason for row in small.values()] == ["too many bytes", "not found"]
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, max_bytes=BODY - 1)) == small
    assert [row.reason for row in fetch_photos(photos, tmp_path, OPTIONS).values()] == ["not found"]
    assert server.requests == {"/good/x": 2, "/status/404": 1, "/good/y": 1}


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


def test_urls_that_are_none_are_refused_without_a_request(tmp_path):
    photos = listed("", "ftp://x/a.jpg", "http://x/a\nb", " /etc/passwd ")
    details = [row.detail for row in fetch_photos(photos, tmp_path, OPTIONS).values()]
    assert details == [NO_URL, NO_URL, "a URL with control characters", NO_URL]
    assert journal_rows(tmp_path) == []


def test_each_redirect_is_checked_again(server, tmp_path, monkeypatch):
    port = server.server_port
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(addresses, "PUBLIC_PORTS", (port,))
    photos = listed(
        server.url(f"/to/http://127.0.0.2:{port}/good/x"),
        server.url(f"/to/http://[::1]:{port}/good/x"),
        server.url("/to//good/y"),
    )
    skipped = fetch_photos(photos, tmp_path, replace(OPTIONS, allow_private=False))
    private = ("bad address", "leads into a private network")
    assert [(row.reason, row.detail) for row in skipped.values()] == [private, private]
    assert kept(tmp_path) == {f"0/0/0/{photos[2].photo_id}.jpg": photo_bytes("y")}


def test_servers_see_as_many_requests_at_once_as_allowed(servers, tmp_path):
    one, two = servers(), servers()
    photos = listed(*(s.url(f"/together/3/{i}") for s in (one, two) for i in range(12)))
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, workers=7, per_host=3)) == {}
    assert (one.peak, two.peak) == (3, 3)
    assert len(kept(tmp_path)) == 24


def test_all_servers_together_see_as_many_requests_as_workers(server, tmp_path):
    photos = listed(*(server.url(f"/together/4/{i}") for i in range(12)))
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, workers=4)) == {}
    assert server.peak == 4


def test_redirects_do_not_get_round_the_limit_of_a_server(servers, tmp_path):
    first, target = [servers() for _ in range(3)], servers()
    paths = [f"/to/{target.url(f'/together/2/{i}')}" for i in range(12)]
    photos = listed(*(first[i % 3].url(path) for i, path in enumerate(paths)))
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, per_host=2)) == {}
    assert target.peak == 2
    assert target.requests.total() == 12


def test_connections_are_used_again(server, tmp_path):
    paths = ["/good/1", "/status/404", "/to//good/2", "/status/500", "/empty/", "/chunks/3"]
    photos = listed(*(server.url(path) for path in paths))
    assert len(fetch_photos(photos, tmp_path, replace(INCOMPLETE, workers=1))) == 3
    assert (server.requests.total(), server.connections) == (8, 1)


def test_a_stalled_server_does_not_hold_up_another(servers, tmp_path):
    stalled, good = servers(), servers()
    photos = listed(
        *(stalled.url(f"/gated/{i}") for i in range(4)),
        *(good.url(f"/good/{i}") for i in range(19)),
        good.url("/open/x"),
    )
    good.gate = stalled.gate
    assert fetch_photos(photos, tmp_path, replace(OPTIONS, workers=3, per_host=2)) == {}
    first = {row["url"] for row in journal_rows(tmp_path)[:19]}
    assert first == {photo.location for photo in photos[4:23]}


@pytest.mark.parametrize("retries", [0, 1])
def test_a_server_that_throttles_is_never_given_up(server, tmp_path, retries):
    photos = listed(*(server.url(f"/throttled/{MAX_FAILURES + 10}/{i}") for i in range(12)))
    options = replace(OPTIONS, retries=retries, per_host=2, backoff=0.001, max_wait=0.002)
    assert fetch_photos(photos, tmp_path, options) == {}
    assert server.requests.total() == MAX_FAILURES + 10 + 12


def test_a_server_that_only_throttles_is_left_for_the_next_call(server, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "MAX_THROTTLED", 5)
    photos = listed(server.url("/good/x"), *(server.url(f"/throttled/9999/{i}") for i in range(40)))
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    text = (
        r"^40 of 41 photos are not fetched yet, and nothing was built:\n"
        r"  \d+ server error \(not asked: 127.0.0.1:\d+ answered HTTP 429 5 times in a row\)"
    )
    with pytest.raises(MissingPhotosError, match=text):
        fetch_photos(photos, tmp_path, replace(OPTIONS, per_host=1, backoff=0.001))
    assert server.requests.total() < 10
    assert len(journal_rows(tmp_path)) == 1


def test_a_photo_that_is_always_throttled_does_not_hold_up_the_others(server, tmp_path):
    photos = listed(
        server.url("/status/503"), *(server.url(f"/good/{i}") for i in range(3 * THROTTLED_TRIES))
    )
    options = replace(INCOMPLETE, per_host=1, backoff=0.001, max_wait=0.001)
    skipped = fetch_photos(photos, tmp_path, options)
    assert [(row.reason, row.detail) for row in skipped.values()] == [("server error", "HTTP 503")]
    assert server.requests["/status/503"] - THROTTLED_TRIES in (1, 2)


def test_the_last_photo_is_not_waited_for_for_hours(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloader, "THROTTLED_SECONDS", 0)
    photos = listed(server.url("/good/x"), server.url("/status/503"))
    skipped = fetch_photos(photos, tmp_path, replace(INCOMPLETE, per_host=1))
    assert [(row.reason, row.detail) for row in skipped.values()] == [("server error", "HTTP 503")]
    assert server.requests == {"/good/x": 1, "/status/503": 1}


def test_a_server_that_refuses_everything_is_left_alone(servers, tmp_path):
    strict, good = servers(), servers()
    photos = listed(
        good.url("/good/x"),
        *(strict.url(f"/status/403/{i}") for i in range(MAX_FAILURES + 20)),
        good.url("/status/403"),
    )
    with pytest.raises(MissingPhotosError) as error:
        fetch_photos(photos, tmp_path, replace(OPTIONS, per_host=1))
    text = str(error.value)
    assert text.startswith(f"{MAX_FAILURES + 20} of {MAX_FAILURES + 22} photos are not fetched")
    refused = rf"{strict.name} refused {MAX_FAILURES} photos \(HTTP 403\) in a row"
    assert re.search(rf"\n  \d+ refused \(not asked: {refused}\)\n", text)
    assert "\nA server that refuses photos may want to know who asks: add --user-agent " in text
    assert MAX_FAILURES <= strict.requests.total() <= MAX_FAILURES + 1
    # The other server's refusal is final: it does give photos.
    assert sorted(row["outcome"] for row in journal_rows(tmp_path)) == ["ok", "refused"]


def test_refusals_of_a_server_that_never_gave_a_photo_are_not_final(server, tmp_path):
    photos = listed(server.url("/status/401"), server.url("/good/x"))
    with pytest.raises(MissingPhotosError, match=r"^1 of 1 photos .*\n  1 refused \(HTTP 401\)\n"):
        fetch_photos(photos[:1], tmp_path, OPTIONS)
    assert journal_rows(tmp_path) == []
    assert list(fetch_photos(photos, tmp_path, OPTIONS)) == [photos[0].photo_id]
    assert server.requests["/status/401"] == 2
    fetch_photos(photos, tmp_path, OPTIONS)
    assert server.requests["/status/401"] == 2


def test_a_refusal_is_final_where_the_server_gave_photos_to_an_earlier_call(server, tmp_path):
    photos = listed(server.url("/good/x"), server.url("/status/403"))
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    assert list(fetch_photos(photos, tmp_path, OPTIONS)) == [photos[1].photo_id]


def test_a_dead_server_is_left_alone_and_tried_again_by_the_next_call(server, tmp_path):
    (port,) = dead_servers(1)
    photos = listed(
        server.url("/good/x"), *(f"http://127.0.0.1:{port}/{i}" for i in range(MAX_FAILURES + 20))
    )
    options = replace(INCOMPLETE, per_host=1, retries=0)
    fetch_photos(photos[:1], tmp_path, options)
    for _ in range(2):
        skipped = fetch_photos(photos, tmp_path, options)
        assert list(skipped) == [photo.photo_id for photo in photos[1:]]
        assert {row.reason for row in skipped.values()} == {"no answer"}
        asked = [row.detail for row in skipped.values()].count("Connection refused")
        assert MAX_FAILURES <= asked <= MAX_FAILURES + 1  # one more may have been started
        assert skipped[photos[-1].photo_id].detail == (
            f"not asked: 127.0.0.1:{port} failed {MAX_FAILURES} photos (Connection refused) in a "
            "row"
        )
        assert len(journal_rows(tmp_path)) == 1


def test_a_broken_network_ends_the_download_soon(servers, tmp_path):
    ports = dead_servers(3)
    photos = listed(*(f"http://127.0.0.1:{ports[i % 3]}/good/{i}" for i in range(60)))
    text = r"\n  \d+ no answer \(no server could be reached\)\n.*check the network"
    for _ in range(2):
        with pytest.raises(MissingPhotosError, match=re.compile(text, re.DOTALL)):
            fetch_photos(photos, tmp_path, OPTIONS)
        assert journal_rows(tmp_path) == []
    for port in ports:
        servers(port)
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}


def test_a_network_that_breaks_on_the_way_ends_the_download(servers, tmp_path):
    first, second = servers(), servers()
    photos = listed(first.url("/good/x"), *(second.url(f"/good/{i}") for i in range(OUTAGE_PHOTOS)))
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    first.close()
    second.close()
    with pytest.raises(MissingPhotosError, match="check the network"):
        fetch_photos(photos, tmp_path, OPTIONS)
    assert [row["outcome"] for row in journal_rows(tmp_path)] == ["ok"]


def test_dead_servers_are_no_broken_network(server, tmp_path):
    # What is left when all that can be had is there: each of them is tried to the end.
    ports = dead_servers(4)
    photos = listed(
        server.url("/good/x"), *(f"http://127.0.0.1:{ports[i % 4]}/{i}" for i in range(40))
    )
    fetch_photos(photos[:1], tmp_path, OPTIONS)
    skipped = fetch_photos(photos, tmp_path, INCOMPLETE)
    assert [row.detail for row in skipped.values()] == ["Connection refused"] * 40
    assert server.requests == {"/good/x": 1}  # the network was checked without fetching a photo


def test_a_proxy_is_refused_where_private_networks_are(server, tmp_path, monkeypatch):
    photos = listed("http://photos.test/good/x", "http://photos.test/good/y")
    strict = replace(OPTIONS, allow_private=False)
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    with pytest.raises(UserError, match=rf"names a proxy, {server.url('')}.* add --allow-private "):
        fetch_photos(photos, tmp_path, strict)
    assert server.requests == {}
    assert fetch_photos(photos, tmp_path, OPTIONS) == {}
    assert server.requests == {photo.location: 1 for photo in photos}


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


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("workers", 0, "--workers must be more than 0, got 0"),
        ("per_host", -1, "--per-host must be more than 0, got -1"),
        ("timeout", float("nan"), "--timeout must be more than 0, got nan"),
        ("max_bytes", 0, "--max-bytes must be more than 0, got 0"),
        ("allow_missing", "101%", "--allow-missing must be a percentage from 0% to 100%, such as "),
        ("allow_missing", "5", "--allow-missing must be a percentage from 0% to 100%, such as 5%"),
        ("retries", -1, "--retries must be 0 or more, got -1"),
        ("host_delay", -0.5, "--host-delay must be 0 or more, got -0.5"),
        ("user_agent", " ", "--user-agent must be a line of ASCII text, got  "),
        ("user_agent", "a\r\nHost: b", "--user-agent must be a line of ASCII text, got a"),
    ],
)
def test_options_out_of_range_are_named(name, value, text):
    with pytest.raises(UserError, match=re.escape(text)):
        FetchOptions(**{name: value})
