"""What all requests over the network share: certificates, proxies, and why one failed."""

import asyncio
import os
import ssl
import urllib.request
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import certifi
from yarl import URL

from tfrecords.common.console import UserError


def make_tls_context() -> ssl.SSLContext:
    """Trusts whom the system trusts and whom Mozilla does: Python on macOS knows no system's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def proxy_for(url: URL, proxies: Mapping[str, str]) -> URL | None:
    """Returns the proxy through which a URL is asked for, unless NO_PROXY names its host.

    Args:
        url: The URL.
        proxies: Scheme -> proxy, as `urllib.request.getproxies` reads the environment.

    Raises:
        UserError: it is no HTTP proxy.
    """
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(url.host_port_subcomponent or ""):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.lower().startswith("http://"):
        raise UserError(
            f"The environment names the proxy {proxy} for {url.scheme}: expected one with http://. "
            f"Unset {url.scheme.upper()}_PROXY and ALL_PROXY, or name in NO_PROXY the servers that "
            "are asked without a proxy."
        )
    return URL(proxy)


async def gather(coroutines: Iterable[Coroutine]) -> list[Any]:
    """As `asyncio.gather`; where one fails, the others are cancelled first."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_event_loop(coroutine: Coroutine) -> Any:
    """As `asyncio.run`; in a thread where this one has a loop already, as in a notebook.

    An interrupt cancels it there, too.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    running = []

    async def cancellable():
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(asyncio.run, cancellable()).result()
        except KeyboardInterrupt:  # else the pool would wait for all of it
            for loop, task in running:
                loop.call_soon_threadsafe(task.cancel)
            raise


def describe_failure(error: Exception, timeout: aiohttp.ClientTimeout) -> str:
    """Says in a few words why a request got no answer.

    Args:
        error: What aiohttp raised.
        timeout: The limits that it was given.
    """
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {timeout.sock_connect:g} s"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"nothing came for {timeout.sock_read:g} s"
    if isinstance(error, TimeoutError):
        return f"not done within {timeout.total:g} s"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        return f"no safe connection ({getattr(cause, 'reason', None) or 'TLS'})"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return error.os_error.strerror or "no such host"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "no connection to the proxy"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.errno) if error.errno else "no connection"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered HTTP {error.status}"
    return "the connection was lost"
