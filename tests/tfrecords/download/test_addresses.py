"""No URL, name or address in any notation leads into a private network."""

import asyncio
import socket

import pytest

from tfrecords.download.addresses import (
    BadAddressError,
    PublicResolver,
    is_public,
    parse_location,
    server_of,
)

PUBLIC = ["8.8.8.8", "151.101.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE_IPV4 = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.255.0.9", "0.0.0.0"]
LOCAL_IPV4 = ["169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.1"]
OTHER_IPV4 = ["224.0.0.1", "239.255.0.1", "240.0.0.1", "255.255.255.255"]
PRIVATE_IPV6 = ["::1", "::", "fc00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"]
HIDDEN_IPV4 = ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f::"]
LOOPBACK_NOTATIONS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address", [*PRIVATE_IPV4, *LOCAL_IPV4, *OTHER_IPV4, *PRIVATE_IPV6, *HIDDEN_IPV4]
)
def test_no_other_network_is_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("host", [*LOOPBACK_NOTATIONS, "127.0.0.1"])
def test_an_address_in_any_notation_is_recognised(host):
    assert parse_location(f"http://{host}/x", True).raw_host == "127.0.0.1"
    with pytest.raises(BadAddressError, match=r"^leads into a private network$"):
        parse_location(f"http://{host}/x", False)


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "10.0.0.1"])
def test_private_addresses_are_refused_unless_they_are_allowed(host):
    assert parse_location(f"http://{host}/x", True)
    with pytest.raises(BadAddressError, match=r"^leads into a private network$"):
        parse_location(f"http://{host}/x", False)


@pytest.mark.parametrize("location", ["http://8.8.8.8:25/", "https://photos.example:8443/"])
def test_other_ports_than_those_of_the_web_are_refused_unless_private_ones_are_allowed(location):
    assert parse_location(location, True)
    with pytest.raises(
        BadAddressError, match=r"^port .*: only 80 and 443 without --allow-private$"
    ):
        parse_location(location, False)
    for port in (80, 443):
        assert parse_location(f"http://photos.example:{port}/", False)


def resolve(host, allow_private=False):
    """Addresses that aiohttp may connect to."""
    found = asyncio.run(PublicResolver(allow_private).resolve(host, 80))
    return [result["host"] for result in found]


def name_server(monkeypatch, *addresses):
    """Every name has these addresses from now on."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)


def test_only_public_addresses_of_a_name_are_given(monkeypatch):
    name_server(monkeypatch, "10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.4.4", "8.8.8.8")
    assert resolve("photos.test") == ["8.8.8.8", "8.8.4.4"]
    assert resolve("photos.test", True) == ["10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.4.4"]


def test_a_name_with_private_addresses_only_is_refused(monkeypatch):
    name_server(monkeypatch, "127.0.0.1", "10.0.0.1")
    with pytest.raises(BadAddressError, match=r"^leads into a private network$"):
        resolve("photos.test")


def test_localhost_is_refused():
    with pytest.raises(BadAddressError, match=r"^leads into a private network$"):
        resolve("localhost")


def test_a_silent_name_server_is_no_bad_address(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror, match="Temporary failure in name resolution"):
        resolve("photos.test")


def test_a_name_server_that_never_answers_holds_up_neither_the_caller_nor_the_end(run_python):
    code = """
import asyncio, socket, threading
from tfrecords.download.addresses import PublicResolver

socket.getaddrinfo = lambda *_: threading.Event().wait()
try:
    asyncio.run(asyncio.wait_for(PublicResolver(False).resolve("photos.test"), 0.01))
except TimeoutError:
    print("given up")
"""
    assert run_python("-c", code).stdout == "given up\n"


def test_a_host_with_an_empty_part_is_refused():
    with pytest.raises(BadAddressError, match=r"^a host that is no name$"):
        resolve("photos..example")


@pytest.mark.parametrize(
    ("location", "server", "url"),
    [
        ("http://Photos.Example/a.jpg", "photos.example", "http://photos.example/a.jpg"),
        ("HTTPS://photos.example:8443?x=/", "photos.example:8443", None),
        ("http://user:secret@photos.example/@x", "photos.example", "http://photos.example/@x"),
        ("http://[::1]:80/", "[::1]:80", "http://[::1]/"),
        ("https://b\u00fccher.example/", "b\u00fccher.example", "https://xn--bcher-kva.example/"),
    ],
)
def test_the_server_that_is_named_is_the_one_that_is_asked(location, server, url):
    assert server_of(location) == server
    asked = url or "https://photos.example:8443/?x=/"
    assert str(parse_location(location, True)) == asked


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/a%2Cb%7e.jpg?x=%2f&y", "/a%2Cb%7e.jpg?x=%2f&y"),
        ("/caf\u00e9 1.jpg", "/caf%C3%A9%201.jpg"),
        ("/100%.jpg?50%", "/100%25.jpg?50%25"),
        ("/x#part", "/x"),
        ("/a/../b//c", "/a/../b//c"),
        ("", "/"),
    ],
)
def test_path_and_query_stay_as_they_are_where_they_can(target, asked):
    assert str(parse_location("http://x.example" + target, False)) == "http://x.example" + asked


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", "not an http:// or https:// URL"),
        ("photos.example/a.jpg", "not an http:// or https:// URL"),
        ("file:///etc/passwd", "not an http:// or https:// URL"),
        ("ftp://photos.example/a.jpg", "not an http:// or https:// URL"),
        ("http:///a.jpg", "not an http:// or https:// URL"),
        ("http://photos.example\\@localhost/", "not an http:// or https:// URL"),
        ("http://photos.example/a\r\nHost: b", "a URL with control characters"),
        ("http://photos.example/\0", "a URL with control characters"),
        ("http://photos.example/" + "a" * 8_000, "a URL of 8022 characters"),
    ],
)
def test_what_is_no_url_of_a_photo_is_refused(location, why):
    with pytest.raises(BadAddressError, match=why):
        server_of(location)


@pytest.mark.parametrize(
    "location", ["http://[::1/", "http://a:99999/", "http://a:0/", "http://%/", "http://a:b:c/"]
)
def test_what_can_not_be_parsed_is_refused(location):
    with pytest.raises(BadAddressError, match="a URL that can't be parsed"):
        parse_location(location, True)
