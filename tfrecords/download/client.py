"""One URL: its photo becomes a file, byte for byte as it was served, or a reason why not."""

import os
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from urllib3 import Retry
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from tfrecords.download.addresses import BadAddressError, NoAddressError, parse_location
from tfrecords.download.connections import Connections, Request
from tfrecords.download.options import FetchOptions

REDIRECTS = (301, 302, 303, 307, 308)
PAGES = ("text/html", "application/xhtml+xml")
CHUNK = 1 << 16  # bytes read at a time


@dataclass(frozen=True)
class Answer:
    """What one request came to: a photo, a reason why not, or another URL.

    Attributes:
        reason: A key of `tfrecords.common.types.REASONS`, or empty.
        detail: What more is known of it.
        size: Bytes of the photo that has come.
        location: URL that the server sends us to.
        temporary: Whether another try may help.
        wait: Seconds that the server wants to be left alone; 0 if it does not say how many.
    """

    reason: str = ""
    detail: str = ""
    size: int = 0
    location: str = ""
    temporary: bool = False
    wait: float | None = None


class Downloader:
    """Fetches photos, one request at a time in each thread that calls it."""

    def __init__(self, options: FetchOptions):
        self._options = options
        self._connections = Connections(options)

    def close(self) -> None:
        """Closes the connections that are kept open for further requests."""
        self._connections.close()

    def can_reach(self, location: str) -> bool:
        """Whether the server of a URL takes a connection right now; asks it for nothing."""
        return self._connections.can_reach(location)

    def ask(self, location: str, place: Path, request: Request) -> Answer:
        """Makes one request; follows no redirect and tries nothing twice.

        Args:
            location: The URL.
            place: File that the photo becomes. It is never there half-written.
            request: By which another thread can cut this one off.

        Raises:
            OSError: the disk is full or can't be written to.
        """
        part = place.with_name(f".{place.name}.part")
        try:
            with request.on_this_thread():
                answer = self._ask(location, part)
            if request.is_cut:
                return _no_answer(f"not done within {self._options.deadline:g} s")
            if answer.size:
                os.replace(part, place)
            return answer
        finally:
            part.unlink(missing_ok=True)  # also what a killed process has left there

    def _ask(self, location, part):
        try:
            with closing(self._connections.get(parse_location(location))) as response:
                return self._receive(response, location, part)
        except BadAddressError as error:
            return Answer("bad address", str(error))
        except NoAddressError as error:
            return _no_answer(str(error))
        except ReadTimeoutError:
            return _no_answer(f"nothing came for {self._options.timeout:g} s")
        except NewConnectionError as error:
            return _no_answer(getattr(error.__cause__, "strerror", None) or "no connection")
        except ConnectTimeoutError:
            return _no_answer(f"no connection within {self._options.timeout:g} s")
        except SSLError as error:
            why = getattr(error.args[0], "reason", None) or "TLS"
            return _no_answer(f"no safe connection ({why})")
        except HTTPError:
            return _no_answer("the connection was lost")

    def _receive(self, response, location, part):
        if response.status == 200:
            return self._receive_photo(response, part)
        target = response.headers.get("location")
        wait = _read_retry_after(response)
        _spare_connection(response)
        if response.status in REDIRECTS and target:
            return Answer(location=_join(location, target))
        if response.status == 429 or response.status >= 500:
            wait = 0.0 if wait is None and response.status == 429 else wait
            return Answer("server error", f"HTTP {response.status}", temporary=True, wait=wait)
        return Answer("not found", f"HTTP {response.status}")

    def _receive_photo(self, response, part):
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in PAGES:
            return Answer("not a photo", kind)
        announced = response.length_remaining
        if announced and announced > self._options.max_bytes:
            return self._too_many_bytes()
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w+b") as file:
            try:
                return self._store(response, file)
            except ReadTimeoutError:
                raise
            except HTTPError:
                detail = f"fewer than {announced} bytes" if announced else "broke off"
                return Answer("incomplete", detail, temporary=True)

    def _store(self, response, file):
        # Decoded, should a server encode it although it was asked not to: urllib3 gives no more
        # than CHUNK at once, however much hides in it.
        for chunk in response.stream(CHUNK, decode_content=True):
            file.write(chunk)
            if file.tell() > self._options.max_bytes:
                return self._too_many_bytes()
        size = file.tell()
        file.seek(0)
        if not size:
            return Answer("empty")
        if file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return Answer("not a photo", "a web page")  # or XML: no photo starts so
        return Answer(size=size)

    def _too_many_bytes(self):
        return Answer("too many bytes", f"more than {self._options.max_bytes}")


def _no_answer(detail):
    return Answer("no answer", detail, temporary=True)


def _read_retry_after(response):
    """Seconds that the header asks for, as a number or a date; None without it."""
    header = response.headers.get("retry-after")
    if header is None:
        return None
    try:
        return Retry().parse_retry_after(header)
    except (InvalidHeader, ValueError, OverflowError):  # no date, or one of another age
        return None


def _spare_connection(response):
    """Reads the rest of a short answer: its connection can then be used again."""
    length = response.length_remaining
    if response.chunked or (length is not None and length <= CHUNK):
        with suppress(HTTPError):
            response.read(CHUNK, decode_content=False)


def _join(location, target):
    # Headers are read as latin-1, while a server that sends non-ASCII means UTF-8.
    target = target.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        return urljoin(location, target.strip())
    except ValueError as error:
        raise BadAddressError("redirected to a URL that can't be understood") from error
