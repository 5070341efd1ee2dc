"""What every request over the network shares: whose certificates count, and why one failed."""

import os
import ssl

import aiohttp
import certifi


def make_tls_context() -> ssl.SSLContext:
    """Trusts whom the system trusts and whom Mozilla does: Python on macOS knows no system's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


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
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.errno) if error.errno else "no connection"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered HTTP {error.status}"
    return "the connection was lost"
