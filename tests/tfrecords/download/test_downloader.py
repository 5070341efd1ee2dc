"""A whole download against real servers: what comes, what does not, what is asked for again."""

import asyncio
from dataclasses import replace

import pytest
from photo_lists import INCOMPLETE, OPTIONS, journal_rows, kept, listed
from photo_server import BODY, photo_bytes

from tfrecords.common.types import REASONS, Photo, Skipped
from tfrecords.download import addresses
from tfrecords.download.downloader import (
    fetch_photos,
)
from tfrecords.download.missing import MissingPhotosError
from tfrecords.download.plan import mark_unusable
from tfrecords.sources.photo_paths import photo_path

NO_URL = "not an http:// or https:// URL"
PHOTO = photo_bytes("x")
OF_SERVERS = {  # path: the photo, or why there is none
    "good/x": PHOTO,
    "slow/x": PHOTO,
    "chunks/x": PHOTO,
    "flaky/x": PHOTO,
    "cut-once/x": PHOTO,
    "busy/1": photo_bytes("1"),
    "busy-until/1": photo_bytes("1"),
    "as-html/x": PHOTO,
    "truncated/x": PHOTO[: BODY // 2],
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


def test_a_program_whose_event_loop_runs_may_download(server, tmp_path):
    async def cell_of_a_notebook():
        return fetch_photos(listed(server.url("/good/x")), tmp_path, OPTIONS)

    assert asyncio.run(cell_of_a_notebook()) == {}
    assert list(kept(tmp_path).values()) == [photo_bytes("x")]


def test_every_kind_of_server(server, tmp_path):
    photos = listed(*(server.url("/" + path) for path in OF_SERVERS))
    results = dict(zip((photo.photo_id for photo in photos), OF_SERVERS.values(), strict=True))
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
    assert {path for path in OF_SERVERS if server.requests["/" + path] == 2} == twice
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
