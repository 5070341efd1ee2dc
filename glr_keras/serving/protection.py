"""What keeps other web sites out: headers, names of the host, and origins of requests."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from glr_keras.serving.limits import Refusal

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD")


def protection(allowed_hosts: Collection[str], allowed_origins: Collection[str]):
    """Returns a middleware that refuses foreign hosts and origins and turns errors into JSON.

    A page elsewhere can give its own name the address 127.0.0.1 (DNS rebinding) and would then be
    of one origin with this server; but its requests still name that host. An address as host can't
    come about in this way.

    Args:
        allowed_hosts: Names, in lower case, beside addresses and "localhost".
        allowed_origins: Of pages that may send photos, such as "https://example.org"; "*" for all.
    """

    @web.middleware
    async def protect(request: web.Request, handler):
        try:
            _check_host(request, allowed_hosts)
            origin = _checked_origin(request, allowed_origins)
            if request.method == "OPTIONS" and origin:
                response = web.Response(status=204)
            else:
                response = await handler(request)
        except Refusal as refusal:
            response = refusal.response
        except web.HTTPException as error:  # aiohttp's own: no such path, no such method
            response = Refusal(error.status, error.reason.lower(), f"{error.reason}.").response
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        _allow_origin(request, response, allowed_origins)
        return response

    return protect


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers that every answer has; an `on_response_prepare` signal."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _check_host(request, allowed):
    try:
        host = (urlsplit(f"//{request.host}").hostname or "").lower()
    except ValueError:
        host = ""
    if host != "localhost" and host not in allowed and not _is_address(host):
        raise Refusal(
            403, "unknown host", f"This server is not {host!r}. Allow the name with --allow-host."
        )


def _checked_origin(request, allowed):
    """Returns the origin of a page elsewhere that may use the API; "" for a page of ours."""
    origin = request.headers.get("Origin", "")
    if not origin or request.method in SAFE_METHODS:
        return ""
    if _is_allowed(origin, allowed):
        return origin
    if origin.partition("://")[2].lower() != request.host.lower():
        raise Refusal(
            403, "foreign origin", f"Pages of {origin} may not use this server (--allow-origin)."
        )
    return ""


def _allow_origin(request, response, allowed):
    origin = request.headers.get("Origin", "")
    if origin and _is_allowed(origin, allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = "Content-Type"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["Vary"] = "Origin"


def _is_allowed(origin, allowed):
    return "*" in allowed or origin in allowed


def _is_address(host):
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
