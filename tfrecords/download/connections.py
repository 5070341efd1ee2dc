"""HTTP requests that reach only servers that may be asked, and can be cut off at any moment."""

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress

import certifi
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util import Url

from tfrecords.download.addresses import BadAddressError, NoAddressError, Resolver, parse_location
from tfrecords.download.options import FetchOptions

MAX_ADDRESSES = 4  # tried of one host; a name with more dead ones than that waits for another try
MAX_POOLS = 100  # hosts whose idle connections are kept open
PORTS = {"http": 80, "https": 443}


class Request:
    """A request under way, which any thread can cut off.

    urllib3's time-outs start again with every byte that comes, so a server that drips could hold
    a worker for ever. Whoever watches the clock cuts its connection here.

    Attributes:
        until: When it should be cut off, by `time.monotonic`.
        is_cut: Whether it has been.
    """

    _of_thread = threading.local()

    def __init__(self, seconds: float):
        self.until = time.monotonic() + seconds
        self.is_cut = False
        self._lock = threading.Lock()
        self._connection = None

    def cut(self) -> None:
        """Cuts it off; to be called until it has ended, since it may not be connected yet."""
        with self._lock:
            self.is_cut = True
            wire = getattr(self._connection, "wire", None)
            if wire is not None:
                with suppress(OSError):  # it may be closed already
                    # Not SSLSocket's own method: that one would go on reading in plain text.
                    socket.socket.shutdown(wire, socket.SHUT_RDWR)

    @contextmanager
    def on_this_thread(self):
        """Makes the connections that the block uses in this thread those that `cut` cuts."""
        Request._of_thread.current = self
        try:
            yield
        finally:
            with self._lock:  # from here on another request may use the connection
                self._connection = None

    @staticmethod
    def takes(connection) -> None:
        """Notes that this thread's request uses a connection from now on."""
        request = Request._of_thread.current
        with request._lock:
            request._connection = connection
        if request.is_cut:
            raise ConnectionAbortedError("cut off")


class Connections:
    """Connections to servers, kept open between requests and shared by all threads.

    Proxies of the environment are not used: a proxy looks names up itself, so that no check of
    addresses would hold.
    """

    def __init__(self, options: FetchOptions):
        self._options = options
        self._resolver = Resolver(options.allow_private)
        self._timeout = Timeout(connect=options.timeout, read=options.timeout)
        tls = _make_tls_context()
        self._pools = PoolManager(MAX_POOLS, maxsize=options.workers, ssl_context=tls)
        self._pools.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def close(self) -> None:
        """Closes those that are idle."""
        self._pools.clear()

    def get(self, url: Url) -> HTTPResponse:
        """Sends a GET request and returns the answer, its body unread, redirects not followed.

        It goes to exactly an address that was checked: the first of the host that takes it.

        Raises:
            BadAddressError: the URL leads into a private network.
            NoAddressError: there is no such host.
            urllib3.exceptions.HTTPError: no connection, or no answer over it.
        """
        failure = None
        for address in self._resolver.addresses(_host(url))[:MAX_ADDRESSES]:
            try:
                response = self._get_from(address, url)
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            else:
                self._resolver.prefer(_host(url), address)
                return response
        raise failure

    def can_reach(self, location: str) -> bool:
        """Whether the server of a URL takes a connection right now; asks it for nothing."""
        try:
            url = parse_location(location)
            address = self._resolver.look_up(_host(url))[0]
            port = url.port or PORTS[url.scheme]
            socket.create_connection((address, port), self._options.timeout).close()
        except (OSError, NoAddressError, BadAddressError):
            return False
        return True

    def _get_from(self, address, url):
        names = {"server_hostname": _host(url)}  # whose certificate must be shown
        pool = self._pools.connection_from_host(address, url.port, url.scheme, names)
        return pool.urlopen(
            "GET",
            url.request_uri,
            headers={
                "Host": url.netloc,
                "User-Agent": self._options.user_agent,
                "Accept": "image/*, */*;q=0.1",
                "Accept-Encoding": "identity",
            },
            timeout=self._timeout,
            retries=False,
            redirect=False,
            preload_content=False,
        )


class _Cuttable:
    """What `Request.cut` needs of a connection."""

    wire = None

    def connect(self):
        super().connect()
        self.wire = self.sock  # `sock` is gone while the last answer on it is being read

    def request(self, *args, **kwargs):
        Request.takes(self)
        super().request(*args, **kwargs)


class _Connection(_Cuttable, HTTPConnection):
    pass


class _TLSConnection(_Cuttable, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def _make_tls_context():
    """Trusts whom the system trusts and whom Mozilla does: Python on macOS knows no system's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _host(url):
    return url.host.strip("[]")
