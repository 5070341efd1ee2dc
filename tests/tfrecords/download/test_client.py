"""One URL against a real server: the photo as it was served, or the reason why not."""

import socket
from urllib.parse import quote

import pytest
from photo_requests import BRIEF, PRIVATE, QUIET, ask, name_server
from photo_server import BODY, PhotoServer, photo_bytes

from tfrecords.common.console import UserError
from tfrecords.common.types import REASONS
from tfrecords.download import addresses
from tfrecords.download.answers import Answer
from tfrecords.download.options import USER_AGENT, FetchOptions


@pytest.fixture(scope="module")
def server():
    server = PhotoServer()
    yield server
    server.close()


@pytest.mark.parametrize(
    "path", ["good", "chunks", "unannounced", "gzip", "slow", "as-html", "as-status/203"]
)
def test_a_photo_is_kept_byte_for_byte(server, tmp_path, path):
    photo = photo_bytes(f"{path}/tower".partition("/")[2])
    assert ask(server.url(f"/{path}/tower"), tmp_path) == (Answer(size=len(photo)), photo)


def test_a_photo_that_ends_early_as_it_was_announced_is_kept(server, tmp_path):
    half = photo_bytes("tower")[: BODY // 2]
    assert ask(server.url("/truncated/tower"), tmp_path) == (Answer(size=len(half)), half)


def test_partial_content_is_kept_where_it_is_all(server, tmp_path):
    name = quote(f"0-{BODY + 3}/{BODY + 4}")
    assert ask(server.url(f"/partial/{name}"), tmp_path) == (
        Answer(size=BODY + 4),
        photo_bytes(name),
    )


@pytest.mark.parametrize("part", ["0-99/20004", "100-20003/20004", "0-20003/*", "nonsense"])
def test_other_partial_content_is_incomplete(server, tmp_path, part):
    answer = Answer("incomplete", "HTTP 206")
    assert ask(server.url("/partial/" + quote(part)), tmp_path) == (answer, None)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("status/404", Answer("not found", "HTTP 404")),
        ("status/410", Answer("not found", "HTTP 410")),
        ("status/304", Answer("not found", "HTTP 304")),
        ("status/204", Answer("empty", "HTTP 204")),
        *((f"status/{n}", Answer("refused", f"HTTP {n}")) for n in (400, 401, 403, 407, 451)),
        *((f"status/{n}", Answer("server error", f"HTTP {n}")) for n in (408, 425, 500, 599)),
        ("status/503", Answer("server error", "HTTP 503", throttled=True)),
        ("status/429", Answer("server error", "HTTP 429", throttled=True)),
        ("busy/17", Answer("server error", "HTTP 429", throttled=True, wait=17)),
        ("busy/soon", Answer("server error", "HTTP 429", throttled=True)),
        ("endless/", Answer("too many bytes", "more than 100000")),
        ("endless-chunks/", Answer("too many bytes", "more than 100000")),
        ("announced/100001", Answer("too many bytes", "more than 100000")),
        ("gzip-bomb/", Answer("too many bytes", "more than 100000")),
        ("short/", Answer("incomplete", "fewer than 21000 bytes")),
        ("truncated-chunks/", Answer("incomplete", "broke off")),
        ("empty/", Answer("empty")),
        ("json/", Answer("not a photo", "application/json")),
        ("odd-type/", Answer("not a photo", "no known format")),
        ("hidden-page/", Answer("not a photo", "a web page")),
        ("garbage/", Answer("no answer", "the connection was lost")),
        ("hang-up/", Answer("no answer", "the connection was lost")),
    ],
)
def test_no_photo_and_why(server, tmp_path, path, answer):
    assert ask(server.url("/" + path), tmp_path) == (answer, None)


def test_only_what_may_change_by_itself_is_temporary():
    temporary = {reason for reason in REASONS if Answer(reason).temporary}
    assert temporary == {"server error", "no answer", "incomplete"}


@pytest.mark.parametrize("path", ["stall", "stall-later"])
def test_a_server_that_falls_silent_is_not_waited_for(server, tmp_path, path):
    answer = Answer("no answer", "nothing came for 0.2 s")
    assert ask(server.url(f"/{path}/"), tmp_path, QUIET) == (answer, None)


@pytest.mark.parametrize("path", ["drip", "drip-header", "drip-chunk-size", "drip-last"])
def test_a_server_that_drips_is_cut_off(server, tmp_path, path):
    answer = Answer("no answer", "not done within 0.4 s")
    assert ask(server.url(f"/{path}/"), tmp_path, BRIEF) == (answer, None)


def test_retry_after_may_be_a_date(server, tmp_path):
    answer, _ = ask(server.url("/busy-until/1"), tmp_path)
    assert (answer.reason, answer.detail) == ("server error", "HTTP 503")
    assert 3500 < answer.wait <= 3600


@pytest.mark.parametrize("target", ["/good/x", "/a b", "/caf\u00e9", "/x?y=z#part"])
def test_a_redirect_is_reported_and_not_followed(server, tmp_path, target):
    location = server.url("/to/" + quote(target))
    assert ask(location, tmp_path) == (Answer(location=server.url(target)), None)


@pytest.mark.parametrize("target", ["http://elsewhere.example/x", "file:///etc/passwd"])
def test_a_redirect_may_name_another_server(server, tmp_path, target):
    assert ask(server.url("/to/" + target), tmp_path) == (Answer(location=target), None)


def test_a_redirect_to_nonsense_is_a_bad_address(server, tmp_path):
    answer = Answer("bad address", "redirected to a URL that can't be parsed")
    assert ask(server.url("/to/http://[x"), tmp_path) == (answer, None)


def test_nobody_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = Answer("no answer", "Connection refused")
    assert ask(f"http://127.0.0.1:{port}/", tmp_path) == (answer, None)


def test_who_asks_and_for_what(server, tmp_path):
    ask(server.url("/good/x"), tmp_path)
    assert server.headers == {
        "Host": server.name,
        "User-Agent": USER_AGENT,
        "Accept": "image/*, */*;q=0.1",
        "Accept-Encoding": "identity",
    }
    assert USER_AGENT.startswith("glr-keras ")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch, name, scheme):
    monkeypatch.setenv(name, scheme + server.name)
    assert ask("http://photos.test/good/x", tmp_path)[1] == photo_bytes("x")
    assert server.headers["Host"] == "photos.test"
    assert server.requests["http://photos.test/good/x"] >= 1  # the URL, not only its path


def test_a_proxy_that_can_not_be_reached_is_the_reason(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
    answer = Answer("no answer", "no connection to the proxy")
    assert ask("http://photos.test/x", tmp_path) == (answer, None)


def test_servers_named_in_no_proxy_are_asked_directly(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ask(server.url("/good/x"), tmp_path)[1] == photo_bytes("x")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_of_another_kind_is_named(name, server, tmp_path, monkeypatch):
    monkeypatch.setenv(name, "socks5://127.0.0.1:1")
    with pytest.raises(UserError, match=r"the proxy socks5://127.0.0.1:1 for http: expected one"):
        ask(server.url("/good/x"), tmp_path)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]"]
)
def test_loopback_is_refused_by_default(server, tmp_path, monkeypatch, host):
    monkeypatch.setattr(addresses, "PUBLIC_PORTS", (server.server_port,))
    before = server.requests.total()
    location = f"http://{host}:{server.server_port}/good/x"
    assert ask(location, tmp_path, FetchOptions()) == (PRIVATE, None)
    assert server.requests.total() == before


def test_the_address_that_was_checked_is_the_one_that_is_asked(server, tmp_path, monkeypatch):
    # A name that is innocent when it is checked and leads elsewhere when it is used.
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(addresses, "PUBLIC_PORTS", (server.server_port,))
    questions = name_server(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    location = f"http://photos.test:{server.server_port}/good/x"
    assert ask(location, tmp_path, FetchOptions())[1] == photo_bytes("x")
    assert questions == ["photos.test"]
    assert server.headers["Host"] == f"photos.test:{server.server_port}"


def test_the_next_address_of_a_host_is_tried(server, tmp_path, monkeypatch):
    name_server(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # the server listens on the second only
    location = f"http://photos.test:{server.server_port}/good/x"
    assert ask(location, tmp_path)[1] == photo_bytes("x")


def test_a_name_that_is_none_is_no_answer(server, tmp_path):
    answer, _ = ask("http://photos.invalid/", tmp_path)
    assert answer.reason == "no answer"
    assert answer.detail


def test_a_full_disk_is_reported_and_leaves_nothing(server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".photo.jpg.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        ask(server.url("/good/x"), tmp_path)
    assert list((tmp_path / "a").iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".photo.jpg.part").write_bytes(b"half")
    assert ask(server.url("/status/404"), tmp_path)[0].reason == "not found"
