"""https: whose certificate is accepted, and what happens to connections that are cut off."""

import shutil
import ssl
import subprocess

import pytest
from photo_requests import BRIEF, ask, name_server
from photo_server import PhotoServer, photo_bytes

from tfrecords.download.answers import Answer


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
    answer = Answer("no answer", "not done within 0.4 s")
    location = f"https://photos.test:{trusted.server_port}/drip/"
    assert ask(location, tmp_path, BRIEF) == (answer, None)


def test_a_certificate_of_another_name_is_refused(trusted, tmp_path):
    location = f"https://127.0.0.1:{trusted.server_port}/good/x"
    why = "no safe connection (CERTIFICATE_VERIFY_FAILED)"
    assert ask(location, tmp_path) == (Answer("no answer", why), None)


def test_a_certificate_that_nobody_signed_is_refused(tls_server, tmp_path, monkeypatch):
    name_server(monkeypatch, ["127.0.0.1"])
    location = f"https://photos.test:{tls_server.server_port}/good/x"
    why = "no safe connection (CERTIFICATE_VERIFY_FAILED)"
    assert ask(location, tmp_path) == (Answer("no answer", why), None)


def test_https_is_not_redirected_to_http(trusted, tmp_path):
    start = f"https://photos.test:{trusted.server_port}/to/"
    refused = Answer("bad address", "redirected from https to http")
    assert ask(start + "http://photos.test/good/x", tmp_path) == (refused, None)
    assert ask(start + "https://other.test/x", tmp_path)[0] == Answer(
        location="https://other.test/x"
    )
    assert ask(start + "/good/x", tmp_path)[0].location.startswith("https://photos.test:")
