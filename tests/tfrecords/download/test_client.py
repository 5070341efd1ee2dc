"""One URL against a real server: the photo as it was served, or the reason why not."""

import shutil
import socket
import ssl
import subprocess
from urllib.parse import quote

import pytest
from photo_server import BODY, PhotoServer, photo_bytes

from tfrecords.download.client import Answer, Downloader
from tfrecords.download.options import USER_AGENT, FetchOptions
from tfrecords.download.threads import Crew

OPTIONS = FetchOptions(allow_private=True, max_bytes=5 * BODY)
HASTY = FetchOptions(allow_private=True, timeout=0.2, deadline=0.4)


@pytest.fixture(scope="module")
def server():
    server = PhotoServer()
    yield server
    server.close()


def ask(location, folder, options=OPTIONS):
    """Asks as `fetch_photos` does; returns the answer and the photo's bytes, if it has come."""
    place = folder / "a" / "photo.jpg"
    downloader = Downloader(options)
    crew = Crew(1, options.deadline, lambda task, request: downloader.ask(task, place, request))
    crew.start(location)
    answers = []
    while not answers:
        answers += crew.done(wait=1.0)
    crew.stop()
    downloader.close()
    ((_, answer),) = answers
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files in ([], [place])
    return answer, place.read_bytes() if files else None


@pytest.mark.parametrize("path", ["good", "chunks", "unannounced", "gzip", "slow"])
def test_a_photo_is_kept_byte_for_byte(server, tmp_path, path):
    photo = photo_bytes("tower")
    answer = ask(server.url(f"/{path}/tower"), tmp_path)
    assert answer == (Answer(size=len(photo)), photo)


def test_a_photo_that_ends_early_as_it_was_announced_is_kept(server, tmp_path):
    half = photo_bytes("tower")[: BODY // 2]
    assert ask(server.url("/truncated/tower"), tmp_path) == (Answer(size=len(half)), half)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("status/404", Answer("not found", "HTTP 404")),
        ("status/410", Answer("not found", "HTTP 410")),
        ("status/403", Answer("not found", "HTTP 403")),
        ("status/204", Answer("not found", "HTTP 204")),
        ("status/304", Answer("not found", "HTTP 304")),
        ("status/500", Answer("server error", "HTTP 500", temporary=True)),
        ("status/503", Answer("server error", "HTTP 503", temporary=True)),
        ("status/429", Answer("server error", "HTTP 429", temporary=True, wait=0.0)),
        ("busy/17", Answer("server error", "HTTP 429", temporary=True, wait=17)),
        ("busy/soon", Answer("server error", "HTTP 429", temporary=True, wait=0.0)),
        ("endless/", Answer("too many bytes", "more than 100000")),
        ("endless-chunks/", Answer("too many bytes", "more than 100000")),
        ("announced/100001", Answer("too many bytes", "more than 100000")),
        ("gzip-bomb/", Answer("too many bytes", "more than 100000")),
        ("short/", Answer("incomplete", "fewer than 21000 bytes", temporary=True)),
        ("torn-chunks/", Answer("incomplete", "broke off", temporary=True)),
        ("empty/", Answer("empty")),
        ("page/", Answer("not a photo", "text/html")),
        ("hidden-page/", Answer("not a photo", "a web page")),
        ("garbage/", Answer("no answer", "the connection was lost", temporary=True)),
        ("hang-up/", Answer("no answer", "the connection was lost", temporary=True)),
    ],
)
def test_no_photo_and_why(server, tmp_path, path, answer):
    assert ask(server.url("/" + path), tmp_path) == (answer, None)


@pytest.mark.parametrize("path", ["stall", "stall-later"])
def test_a_server_that_falls_silent_is_not_waited_for(server, tmp_path, path):
    answer = Answer("no answer", "nothing came for 0.2 s", temporary=True)
    assert ask(server.url(f"/{path}/"), tmp_path, HASTY) == (answer, None)


@pytest.mark.parametrize("path", ["drip", "drip-header", "drip-chunk-size", "drip-last"])
def test_a_server_that_drips_is_cut_off(server, tmp_path, path):
    answer = Answer("no answer", "not done within 0.4 s", temporary=True)
    assert ask(server.url(f"/{path}/"), tmp_path, HASTY) == (answer, None)


def test_retry_after_may_be_a_date(server, tmp_path):
    answer, _ = ask(server.url("/busy-until/1"), tmp_path)
    assert (answer.reason, answer.detail) == ("server error", "HTTP 503")
    assert 3500 < answer.wait <= 3600


@pytest.mark.parametrize("target", ["/good/x", "/a b", "/caf\u00e9", "/x?y=z#part"])
def test_a_redirect_is_told_and_not_followed(server, tmp_path, target):
    location = server.url("/to/" + quote(target))
    assert ask(location, tmp_path) == (Answer(location=server.url(target)), None)


@pytest.mark.parametrize("target", ["http://elsewhere.example/x", "file:///etc/passwd"])
def test_a_redirect_may_name_another_server(server, tmp_path, target):
    assert ask(server.url("/to/" + target), tmp_path) == (Answer(location=target), None)


def test_a_redirect_to_nonsense_is_a_bad_address(server, tmp_path):
    answer = Answer("bad address", "redirected to a URL that can't be understood")
    assert ask(server.url("/to/http://[x"), tmp_path) == (answer, None)


def test_nobody_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = Answer("no answer", "Connection refused", temporary=True)
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


def test_a_proxy_of_the_environment_is_not_used(server, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(server.url("/good/x"), tmp_path)[1] == photo_bytes("x")


LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "127.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_refused_by_default(server, tmp_path, host):
    before = server.requests.total()
    answer, _ = ask(f"http://{host}:{server.server_port}/good/x", tmp_path, FetchOptions())
    assert answer == Answer("bad address", "leads into a private network")
    assert server.requests.total() == before


def name_server(monkeypatch, *answers):
    """`photos.test` has the addresses of each answer in turn; returns the list of questions."""
    questions = []
    look_up = socket.getaddrinfo

    def answer(host, port, *args, **kwargs):
        if host != "photos.test":
            return look_up(host, port, *args, **kwargs)
        questions.append(host)
        addresses = answers[min(len(questions), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return questions


def test_the_address_that_was_checked_is_the_one_that_is_asked(server, tmp_path, monkeypatch):
    # A name that is innocent when it is checked and leads elsewhere when it is used.
    monkeypatch.setattr(
        "tfrecords.download.addresses.is_public", lambda address: address == "127.0.0.1"
    )
    questions = name_server(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    location = f"http://photos.test:{server.server_port}/good/x"
    assert ask(location, tmp_path, FetchOptions())[1] == photo_bytes("x")
    assert questions == ["photos.test"]
    assert server.headers["Host"] == f"photos.test:{server.server_port}"


def test_the_next_address_of_a_host_is_tried(server, tmp_path, monkeypatch):
    name_server(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # the server listens on the second only
    location = f"http://photos.test:{server.server_port}/good/x"
    assert ask(location, tmp_path)[1] == photo_bytes("x")


def test_a_full_disk_is_told_and_leaves_nothing(server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".photo.jpg.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        ask(server.url("/good/x"), tmp_path)
    assert list((tmp_path / "a").iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".photo.jpg.part").write_bytes(b"half")
    assert ask(server.url("/status/404"), tmp_path)[0].reason == "not found"


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """A server that shows a certificate for `photos.test` which nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    request = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    names = "-subj /CN=photos.test -addext subjectAltName=DNS:photos.test"
    files = "-keyout key.pem -out cert.pem"
    command = f"{request} {names} {files}".split()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    server = PhotoServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.certificate = folder / "cert.pem"
    yield server
    server.close()


@pytest.fixture
def trusted(tls_server, monkeypatch):
    """The same server, to a system that trusts its certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate))
    name_server(monkeypatch, ["127.0.0.1"])
    return tls_server


def test_https_asks_the_checked_address_for_the_certificate_of_the_name(trusted, tmp_path):
    location = f"https://photos.test:{trusted.server_port}/good/x"
    assert ask(location, tmp_path) == (Answer(size=len(photo_bytes("x"))), photo_bytes("x"))


def test_https_drip_is_cut_off(trusted, tmp_path):
    answer = Answer("no answer", "not done within 0.4 s", temporary=True)
    location = f"https://photos.test:{trusted.server_port}/drip/"
    assert ask(location, tmp_path, HASTY) == (answer, None)


def test_a_certificate_of_another_name_is_refused(trusted, tmp_path):
    location = f"https://127.0.0.1:{trusted.server_port}/good/x"
    why = "no safe connection (CERTIFICATE_VERIFY_FAILED)"
    assert ask(location, tmp_path) == (Answer("no answer", why, temporary=True), None)


def test_a_certificate_that_nobody_signed_is_refused(tls_server, tmp_path, monkeypatch):
    name_server(monkeypatch, ["127.0.0.1"])
    location = f"https://photos.test:{tls_server.server_port}/good/x"
    why = "no safe connection (CERTIFICATE_VERIFY_FAILED)"
    assert ask(location, tmp_path) == (Answer("no answer", why, temporary=True), None)
