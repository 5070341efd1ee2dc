"""Servers see no more requests than they bear, and broken ones do not hold up the others."""

import re
from dataclasses import replace

import pytest
from photo_lists import INCOMPLETE, OPTIONS, journal_rows, kept, listed
from photo_server import PhotoServer

from tfrecords.common.console import UserError
from tfrecords.download import downloader, hosts
from tfrecords.download.downloader import (
    OUTAGE_PHOTOS,
    THROTTLED_TRIES,
    fetch_photos,
)
from tfrecords.download.hosts import MAX_FAILURES
from tfrecords.download.missing import MissingPhotosError


def dead_servers(count):
    """Ports that nobody listens at."""
    made = [PhotoServer() for _ in range(count)]
    for server in made:
        server.close()
    return [server.server_port for server in made]


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
