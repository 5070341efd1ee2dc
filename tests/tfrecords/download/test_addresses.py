"""No URL, name or address in any notation leads into a private network."""

import socket

import pytest

from tfrecords.download.addresses import (
    BadAddressError,
    NoAddressError,
    Resolver,
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
LOOPBACK_NOTATIONS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "LOCALHOST", "::1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address", [*PRIVATE_IPV4, *LOCAL_IPV4, *OTHER_IPV4, *PRIVATE_IPV6, *HIDDEN_IPV4]
)
def test_no_other_network_is_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("host", [*LOOPBACK_NOTATIONS, "127.0.0.1", "::ffff:127.0.0.1"])
def test_loopback_is_refused_in_every_notation(host):
    with pytest.raises(BadAddressError, match="leads into a private network"):
        Resolver(allow_private=False).addresses(host)


def test_loopback_is_found_where_private_networks_are_allowed():
    assert Resolver(allow_private=True).addresses("127.1") == ["127.0.0.1"]


def name_server(monkeypatch, *answers):
    """Names have the addresses of each answer in turn from now on; returns the questions."""
    questions = []

    def look_up(host, *_, **__):
        questions.append(host)
        addresses = answers[min(len(questions), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return questions


def test_only_public_addresses_of_a_name_are_given(monkeypatch):
    name_server(monkeypatch, ["10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.4.4", "8.8.8.8"])
    assert Resolver(allow_private=False).addresses("photos.test") == ["8.8.8.8", "8.8.4.4"]


def test_an_address_is_believed_for_a_while_and_the_one_that_answers_preferred(monkeypatch):
    questions = name_server(monkeypatch, ["8.8.8.8", "8.8.4.4"], ["127.0.0.1"])
    resolver = Resolver(allow_private=False)
    assert resolver.addresses("photos.test") == ["8.8.8.8", "8.8.4.4"]
    resolver.prefer("photos.test", "8.8.4.4")
    assert resolver.addresses("photos.test") == ["8.8.4.4", "8.8.8.8"]
    assert questions == ["photos.test"]


def test_a_name_is_looked_up_and_checked_again_in_the_end(monkeypatch):
    name_server(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    monkeypatch.setattr("tfrecords.download.addresses.BELIEVED_SECONDS", 0)
    resolver = Resolver(allow_private=False)
    assert resolver.addresses("photos.test") == ["8.8.8.8"]
    with pytest.raises(BadAddressError, match="leads into a private network"):
        resolver.addresses("photos.test")


def test_a_silent_name_server_is_no_bad_address(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(NoAddressError, match="Temporary failure in name resolution"):
        Resolver(allow_private=False).addresses("photos.test")


@pytest.mark.parametrize(
    ("location", "server"),
    [
        ("http://Photos.Example/a.jpg", "photos.example"),
        ("HTTPS://photos.example:8443?x=/", "photos.example:8443"),
        ("http://user:secret@photos.example/@x", "photos.example"),
        ("http://[::1]:80/", "[::1]:80"),
        ("http://photos.example\\@localhost/", "photos.example"),
    ],
)
def test_the_server_that_is_named_is_the_one_that_is_asked(location, server):
    assert server_of(location) == server
    assert parse_location(location).netloc == server


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", "not an http:// or https:// URL"),
        ("photos.example/a.jpg", "not an http:// or https:// URL"),
        ("file:///etc/passwd", "not an http:// or https:// URL"),
        ("ftp://photos.example/a.jpg", "not an http:// or https:// URL"),
        ("http:///a.jpg", "not an http:// or https:// URL"),
        ("http://photos.example/a\r\nHost: b", "a URL with control characters"),
        ("http://photos.example/\0", "a URL with control characters"),
        ("http://photos.example/" + "a" * 8_000, "a URL of 8022 characters"),
    ],
)
def test_what_is_no_url_of_a_photo_is_refused(location, why):
    with pytest.raises(BadAddressError, match=why):
        server_of(location)


@pytest.mark.parametrize(
    "location", ["http://[::1/", "http://a:99999/", "http://a:0/", "http://%/"]
)
def test_what_can_not_be_understood_is_refused(location):
    with pytest.raises(BadAddressError, match="a URL that can't be understood"):
        parse_location(location)


def test_a_host_with_an_empty_part_is_refused():
    with pytest.raises((BadAddressError, NoAddressError)):
        Resolver(allow_private=False).addresses("photos..example")
