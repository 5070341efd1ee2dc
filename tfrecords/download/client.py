"""One request: the photo becomes a file, byte for byte as it was served, or a reason why not."""

import gzip
import os
import urllib.request
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import aiohttp

from tfrecords.common.console import UserError
from tfrecords.common.web import describe_failure, make_tls_context, proxy_for
from tfrecords.download.addresses import BadAddressError, PublicResolver, parse_location
from tfrecords.download.answers import (
    Answer,
    answer_without_photo,
    gunzip,
    is_whole,
    what_else,
)
from tfrecords.download.options import FetchOptions
from tfrecords.images.decode import starts_like_photo

CHUNK_BYTES = 1 << 16  # read at a time
GZIP_START = b"\x1f\x8b"
DNS_SECONDS = 300  # how long a name's addresses are kept: what DNS itself often allows


class PhotoClient:
    """Fetches photos, to be used in `async with`; requests may run at the same time."""

    def __init__(self, options: FetchOptions):
        self._options = options
        self._timeout = aiohttp.ClientTimeout(
            total=options.deadline, sock_connect=options.timeout, sock_read=options.timeout
        )
        self._proxies = urllib.request.getproxies()

    async def __aenter__(self):
        options = self._options
        connector = aiohttp.TCPConnector(
            resolver=PublicResolver(options.allow_private),
            limit=0,  # `Host` limits
            ttl_dns_cache=DNS_SECONDS,
            ssl=make_tls_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers={
                "User-Agent": options.user_agent,
                "Accept": "image/*, */*;q=0.1",
                "Accept-Encoding": "identity",
            },
            auto_decompress=False,  # `gunzip` has a bound
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_):
        await self._session.close()

    async def ask(self, location: str, path: Path) -> Answer:
        """Makes one request; follows no redirect and tries nothing twice.

        Args:
            location: The URL.
            path: File that the photo becomes, atomically.

        Raises:
            OSError: the disk is full or can't be written to.
        """
        part = path.with_name(f".{path.name}.part")
        answer = await self._ask(location, part)
        # No `await` from here to the journal's line: no Ctrl-C can come between it and the file.
        if answer.size:
            os.replace(part, path)
        return answer

    async def _ask(self, location, part):
        answer = Answer()
        try:
            url = parse_location(location, self._options.allow_private)
            async with self._session.get(url, **self._how(url)) as response:
                try:
                    answer = await self._receive(response, location, part)
                finally:
                    _abort_unread(response)
        except BadAddressError as error:
            answer = Answer("bad address", str(error))
        except aiohttp.InvalidURL:
            answer = Answer("bad address", "a host that is no name")
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            answer = Answer("no answer", describe_failure(error, self._timeout))
        finally:
            if not answer.size:
                part.unlink(missing_ok=True)  # also what a killed process has left there
        return answer

    async def can_reach(self, location: str) -> bool:
        """Whether the server of a URL gives any answer right now."""
        try:
            url = parse_location(location, self._options.allow_private)
            async with self._session.head(url, **self._how(url)):
                return True
        except (BadAddressError, aiohttp.ClientError, ConnectionError, TimeoutError):
            return False

    def _how(self, url):
        return {"allow_redirects": False, "proxy": proxy_for(url, self._proxies)}

    async def _receive(self, response, location, part):
        if is_whole(response.status, response.headers):
            return await self._receive_photo(response, part)
        with suppress(aiohttp.ClientError):
            # The rest of a short answer: its connection can then be used again.
            await response.content.read(CHUNK_BYTES)
        return answer_without_photo(response.status, response.headers, location)

    async def _receive_photo(self, response, part):
        announced = response.content_length
        if announced and announced > self._options.max_bytes:
            return self._too_many_bytes()
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w+b") as file:
            try:
                return await self._store(response, file)
            except TimeoutError:
                raise
            except aiohttp.ClientError:
                detail = f"fewer than {announced} bytes" if announced else "broke off"
                return Answer("incomplete", detail)

    async def _store(self, response, file):
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            file.write(chunk)
            if file.tell() > self._options.max_bytes:
                return self._too_many_bytes()
        if not file.tell():
            return Answer("empty")
        file.seek(0)
        if file.read(2) == GZIP_START:  # although it was asked for the photo as it is
            try:
                gunzip(file, self._options.max_bytes + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                return Answer("incomplete", "broke off")
        size = file.seek(0, os.SEEK_END)
        if size > self._options.max_bytes:
            return self._too_many_bytes()
        file.seek(0)
        start = file.read(CHUNK_BYTES)
        if not starts_like_photo(start):
            return Answer("not a photo", what_else(start, response.content_type))
        return Answer(size=size)

    def _too_many_bytes(self):
        return Answer("too many bytes", f"more than {self._options.max_bytes}")


def check_proxies(locations: Iterable[str], options: FetchOptions) -> None:
    """Refuses the environment's proxies where the addresses behind names are to be checked.

    Args:
        locations: A URL of each server.
        options: Proxies are used with `allow_private`.

    Raises:
        UserError: a URL would have to be asked for through a proxy.
    """
    proxies = urllib.request.getproxies()
    for location in () if options.allow_private else locations:
        with suppress(BadAddressError):  # reported with its photo
            proxy = proxy_for(parse_location(location, True), proxies)
            if proxy is not None:
                raise UserError(
                    f"The environment names a proxy, {proxy}. A proxy resolves names itself, so "
                    "that no list of URLs can be kept out of private networks. Unset HTTP_PROXY "
                    "and HTTPS_PROXY to ask the servers directly, name them in NO_PROXY, or add "
                    "--allow-private to use the proxy with a list that you trust."
                )


def _abort_unread(response):
    """Closes the connection unless all was read: TLS would wait 30 s for the server's goodbye."""
    connection = response.connection  # None once all was read
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
