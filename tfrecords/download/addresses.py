"""Which server a URL leads to, and whether it may be asked: none inside a private network.

A list of URLs is somebody else's text. A URL in it, or a redirect it leads to, must not reach the
user's router, a cloud's metadata service or anything else that only this machine can see.
"""

import asyncio
import ipaddress
import re
import socket
import threading
from urllib.parse import quote, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

MAX_URL = 8_000  # characters; servers take no longer ones (RFC 9110 asks them for 8,000)
MAX_ADDRESSES = 4  # tried of one host; a name with more dead ones than that waits for another try
SERVER = re.compile(r"https?://(?:[^/?#\\]*@)?([^/?#\\@]+)(?=[/?#]|$)", re.IGNORECASE)
PUBLIC_PORTS = (80, 443)  # any other may be a mail server, a printer, a database
PRIVATE = "leads into a private network"
ALLOW_PRIVATE = "only 80 and 443 without --allow-private"
INTERNET_IPV6 = ipaddress.ip_network("2000::/3")  # all that IANA has given out for global unicast
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 as IPv6-only networks see it (RFC 6052)
LEGAL = "%/:?@!$&'()*+,;=~[]|"  # what stays in a path or query as it is, beside letters and digits
STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


class BadAddressError(ValueError):
    """A URL that is never asked for; the text says why."""


def server_of(location: str) -> str:
    """Names the server of a URL, with its port if it has one: what limits per host count.

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


def parse_location(location: str, allow_private: bool) -> URL:
    """Parses a URL and checks all of it that can be checked before its host name is resolved.

    Path and query stay as they are but for characters that no URL may have. A name and password
    for the server are dropped.

    Args:
        location: The URL.
        allow_private: Whether private networks and ports other than 80 and 443 may be asked.

    Raises:
        BadAddressError: as `server_of`, or it can't be parsed, or may not be asked.
    """
    server_of(location)
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
        origin = URL.build(scheme=parts.scheme, host=_address(host) or host, port=parts.port)
    except ValueError as error:
        raise BadAddressError("a URL that can't be parsed") from error
    if not origin.raw_host or not origin.port:
        raise BadAddressError("a URL that can't be parsed")
    if not allow_private:
        _check_public(origin)
    target = STRAY_PERCENT.sub("%25", f"{parts.path or '/'}?{parts.query}".removesuffix("?"))
    return URL(f"{origin.origin()}{quote(target, LEGAL)}", encoded=True)


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


class PublicResolver(AbstractResolver):
    """Resolves names for aiohttp to public addresses only, or to all with `allow_private`.

    aiohttp connects to an address given here and never asks for the name again, so that a name
    server can't answer the check and the connection differently. It does not come here for an IP
    address in a URL: `parse_location` checks these.
    """

    def __init__(self, allow_private: bool):
        self._allow_private = allow_private

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Returns the addresses of a name.

        Raises:
            BadAddressError: it has private addresses only, or is no name.
            OSError: no such name, or no name server answers.
        """
        try:
            answers = await _in_daemon_thread(
                socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
            )
        except UnicodeError as error:  # an empty part, or one of over 63 characters
            raise BadAddressError("a host that is no name") from error
        found = {answer[4][0]: answer[0] for answer in answers}
        if not self._allow_private:
            found = {address: family for address, family in found.items() if is_public(address)}
        if not found:
            raise BadAddressError(PRIVATE)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address, family in list(found.items())[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


async def _in_daemon_thread(function, *arguments):
    """As `asyncio.to_thread`, but a name server's silence does not delay the end of the process."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def finish(method, value):
        if not future.cancelled():
            method(value)

    def work():
        try:
            outcome = future.set_result, function(*arguments)
        except Exception as error:
            outcome = future.set_exception, error
        try:
            loop.call_soon_threadsafe(finish, *outcome)
        except RuntimeError:  # the loop was closed: nobody waits any more
            return

    threading.Thread(target=work, daemon=True).start()
    return await future


def _address(host):
    """Returns the IP address that a host is in any notation, such as 127.1 or 0x7f000001."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return None


def _check_public(origin):
    if origin.port not in PUBLIC_PORTS:
        raise BadAddressError(f"port {origin.port}: {ALLOW_PRIVATE}")
    address = _address(origin.raw_host)
    if address is not None and not is_public(address):
        raise BadAddressError(PRIVATE)
