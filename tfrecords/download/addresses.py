"""Which server a URL leads to, and whether it may be asked: none inside a private network.

A list of URLs is somebody else's text. A URL in it, or a redirect it leads to, must not reach the
user's router, a cloud's metadata service or anything else that only this machine can see.
"""

import ipaddress
import re
import socket
import time

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

MAX_URL = 8_000  # characters; servers take no longer ones (RFC 9110 asks them for 8,000)
BELIEVED_SECONDS = 300  # how long a name's addresses are kept: what DNS itself often allows
SERVER = re.compile(r"https?://(?:[^/?#\\]*@)?([^/?#\\@]+)", re.IGNORECASE)
PRIVATE = "leads into a private network"
INTERNET_IPV6 = ipaddress.ip_network("2000::/3")  # all that IANA has given out for global unicast
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 as IPv6-only networks see it (RFC 6052)


class BadAddressError(ValueError):
    """A URL that is never asked for; the text says why."""


class NoAddressError(Exception):
    """A name that leads to no address at the moment; the text says why."""


def server_of(location: str) -> str:
    """Names the server of a URL, with its port if it has one: whom to be polite to.

    Raises:
        BadAddressError: the URL is not http(s), far too long, or has control characters.
    """
    if len(location) > MAX_URL:
        raise BadAddressError(f"a URL of {len(location)} characters")
    if not location.isprintable():
        raise BadAddressError("a URL with control characters")
    match = SERVER.match(location)
    if match is None:
        raise BadAddressError("not an http:// or https:// URL")
    return match[1].lower()


def parse_location(location: str) -> Url:
    """Takes a URL apart, in the one way that is then checked and used.

    Raises:
        BadAddressError: as `server_of`, or it can't be understood.
    """
    server_of(location)
    try:
        url = parse_url(location)
    except LocationParseError as error:
        raise BadAddressError("a URL that can't be understood") from error
    if url.scheme not in ("http", "https") or not url.host or url.port == 0:
        raise BadAddressError("a URL that can't be understood")
    return url


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address is on the open internet.

    Private, loopback, link-local, shared, reserved and multicast networks are not, nor is an IPv6
    address that stands for such an IPv4 one (mapped, 6to4, NAT64).
    """
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return ip.is_global and not ip.is_multicast
    inner = ip.ipv4_mapped or ip.sixtofour
    if ip in NAT64:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(str(inner))
    return ip in INTERNET_IPV6 and ip.is_global


class Resolver:
    """Finds the addresses of hosts, and lets only those through that may be asked.

    Whoever connects must connect to an address given here, never to the name: a name server may
    answer the next question otherwise. Safe to use from several threads.
    """

    def __init__(self, allow_private: bool):
        self._allow_private = allow_private
        self._known = {}

    def addresses(self, host: str) -> list[str]:
        """Returns the addresses of a name, or of an address in any notation, best first.

        Raises:
            BadAddressError: it leads into a private network only, or is no name.
            NoAddressError: no such name, or no name server answers.
        """
        known, until = self._known.get(host, ([], 0))
        if time.monotonic() >= until:
            known = self.look_up(host)
            self._known[host] = known, time.monotonic() + BELIEVED_SECONDS
        return known

    def look_up(self, host: str) -> list[str]:
        """The same, asking the name server in any case."""
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NoAddressError(error.strerror) from error
        except UnicodeError as error:  # an empty part, or one of over 63 characters
            raise BadAddressError("a host that is no name") from error
        found = list(dict.fromkeys(answer[4][0] for answer in answers))
        if self._allow_private:
            return found
        public = [address for address in found if is_public(address)]
        if not public:
            raise BadAddressError(PRIVATE)
        return public

    def prefer(self, host: str, address: str) -> None:
        """Puts an address that has answered before the others of its host."""
        known, until = self._known.get(host, ([], 0))
        if known[:1] != [address]:
            self._known[host] = sorted(known, key=lambda other: other != address), until
