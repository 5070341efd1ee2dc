"""A model behind a socket: from flags to a server that runs until it is stopped."""

import errno
import logging
import shlex
import socket
import sys
from argparse import Namespace

from tfrecords.common.console import UserError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that listens; clients that connect wait until the model is loaded.

    Raises:
        UserError: the port is in use or not allowed, or the host is none of this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except (socket.gaierror, UnicodeError) as error:
        expected = "Expected an address of this machine, such as 127.0.0.1 or 0.0.0.0."
        raise UserError(f"--host {host}: {error}. {expected}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = shlex.join(["--port", str(port % 65_535 + 1)])
            raise UserError(
                f"Port {port} of {host} is in use, perhaps by this command in another terminal. "
                f"Name another one: {other}"
            ) from error
        raise UserError(
            f"--host {host} --port {port}: {error.strerror}. Expected an address of this machine "
            "and a port above 1023."
        ) from error


def serve(args: Namespace, listener: socket.socket) -> None:
    """Loads the model of `args` and answers until Ctrl-C or SIGTERM."""
    from aiohttp import web

    from glr_keras.inference.landmark_model import load
    from glr_keras.serving.application import make_app
    from glr_keras.serving.known_photos import known_photos
    from glr_keras.serving.limits import Limits
    from glr_keras.serving.protection import protection

    model = load(args.model)
    photos = known_photos(args.model, args.data_dir, not args.no_photos, model.landmarks)
    limits = Limits(photo_bytes=round(args.max_mb * 1e6))
    hosts = {*map(str.lower, args.allow_host), args.host.lower()}
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)
    app = make_app(args.model, model, photos, limits, protection(hosts, args.allow_origin))
    _announce(args, listener, model)
    web.run_app(
        app,
        sock=listener,
        print=None,
        access_log=None,
        handler_cancellation=True,  # a client that goes away is not computed
        shutdown_timeout=10,
    )
    print("Stopped.")


def _is_our_fault(record):
    """Whether a log record is worth reading: not where a client goes away or speaks no HTTP."""
    from aiohttp.http import HttpProcessingError
    from aiohttp.web import RequestPayloadError

    theirs = (HttpProcessingError, RequestPayloadError, ConnectionError)
    return not (record.exc_info and isinstance(record.exc_info[1], theirs))


def _announce(args, listener, model):
    host, port = listener.getsockname()[:2]
    if host not in LOOPBACK:
        print(
            f"warning: --host {args.host}: anyone in your network can use this server, and see the "
            "photos of the records (--no-photos hides them). It has no password.",
            file=sys.stderr,
        )
    if host in ("0.0.0.0", "::"):
        host = _own_address(listener.family) or host
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(f"{args.model}: {len(model.landmarks):,} landmarks. Try it: {url}/")
    print(f"API: {url}/openapi.json. Ctrl-C stops it.", flush=True)


def _own_address(family):
    """The address under which others in the network reach this machine; "" without a network."""
    outside = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))  # sends nothing
        except OSError:
            return ""
        return probe.getsockname()[0]
