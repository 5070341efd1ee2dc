"""Fetches archives: a few at once, each compared with its md5, and once more if it differs."""

import asyncio
import hashlib
import re
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tqdm import tqdm
from yarl import URL

from tfrecords.common.console import UserError
from tfrecords.common.files import rename_durably
from tfrecords.common.web import (
    describe_failure,
    gather,
    make_tls_context,
    proxy_for,
    run_event_loop,
)

SIMULTANEOUS = 4  # archives at once; one connection rarely fills a line (a guess)
MD5_REQUESTS = 8  # at once
CONNECT_SECONDS = 10
STALL_SECONDS = 60  # without a byte
RETRIES = 3  # of a request that is answered 429 or 5xx
RETRY_SECONDS = 0.5  # before the first of them; doubled for each one more
CHUNK_BYTES = 1 << 20
FAILURES = (aiohttp.ClientError, ConnectionError, TimeoutError)
ADVICE = (
    "Check the network, then type the same command again: it resumes. Archives that were "
    "downloaded elsewhere are read with --tars DIR in place of --archives."
)


def fetch_md5s(urls: Sequence[str]) -> list[str]:
    """Returns the md5 that each small file has, asked for anew each time.

    An old one that was kept would condemn a new archive.

    Raises:
        UserError: a file is not there, or has no md5.
    """
    return run_event_loop(_fetch_md5s(urls))


def fetch_archive_files(
    wanted: Mapping[str, tuple[Path, str]], accept: Callable[[Path], None]
) -> dict[str, str]:
    """Fetches files, with a progress bar.

    Args:
        wanted: URL -> (final path, md5). The path is there once all of the file has that md5.
        accept: Called with each path once it is there.

    Returns:
        URL -> what was wrong at the second try.

    Raises:
        UserError: the server does not have a file, or can't be reached.
    """
    return run_event_loop(_fetch_all(wanted, accept))


async def _fetch_md5s(urls):
    at_once = asyncio.Semaphore(MD5_REQUESTS)

    async def fetch(url):
        async with at_once, _get(session, url) as response:
            try:
                text = await response.text(errors="replace")
            except FAILURES as error:
                raise _unreachable(url, f"{describe_failure(error, session.timeout)}.") from error
        match = re.match(r"\s*([0-9a-fA-F]{32})(\s|$)", text)
        if not match:
            raise _unreachable(url, f"expected an md5 of 32 digits, got {text[:60]!r}.")
        return match[1].lower()

    async with _session() as session:
        return await gather(map(fetch, urls))


async def _fetch_all(wanted, accept):
    at_once = asyncio.Semaphore(SIMULTANEOUS)
    problems = {}

    async def fetch(url, path, md5):
        async with at_once:
            problem = await _fetch(session, url, path, md5, bar)
            if problem:
                problem = await _fetch(session, url, path, md5, bar)
        if problem:
            problems[url] = problem
        else:
            accept(path)
            bar.set_postfix_str(f"{path.name} is complete")

    async with _session() as session:
        with tqdm(desc="Fetching archives", unit="B", unit_scale=True) as bar:
            await gather(fetch(url, *target) for url, target in wanted.items())
    return problems


async def _fetch(session, url, path, md5, bar):
    """Fetches one file; returns what is wrong with it, if anything."""
    part = path.with_name(f".{path.name}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        async with _get(session, url) as response:
            with open(part, "wb") as file:
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
        found = digest.hexdigest()
        if found != md5:
            return f"{url}: expected md5 {md5}, got {found}."
        rename_durably(part, path)
        return ""
    except FAILURES as error:
        return f"{url}: the transfer broke off ({describe_failure(error, session.timeout)})."
    finally:
        part.unlink(missing_ok=True)


@asynccontextmanager
async def _get(session, url):
    """Asks for a file, again where the server is too busy; gives the answer, its body unread."""
    proxy = proxy_for(URL(url), urllib.request.getproxies())
    for retry in range(RETRIES + 1):
        try:
            response = await session.get(url, proxy=proxy)
        except FAILURES as error:
            raise _unreachable(url, f"{describe_failure(error, session.timeout)}.") from error
        async with response:
            if response.status == 200:
                yield response
                return
            is_busy = response.status == 429 or response.status >= 500
            if not is_busy or retry == RETRIES:
                raise _unreachable(url, f"HTTP {response.status}.")
        await asyncio.sleep(RETRY_SECONDS * 2**retry)


def _session():
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=make_tls_context()),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=STALL_SECONDS
        ),
        headers={"Accept-Encoding": "identity"},
    )


def _unreachable(url, why):
    return UserError(f"Can't fetch {url}: {why}\n{ADVICE}")
