"""What a server's answer means: its status, its headers, and the first bytes of its body."""

import email.utils
import gzip
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin

from tfrecords.download.addresses import BadAddressError

REDIRECTS = (301, 302, 303, 307, 308)
THROTTLED = (429, 503)
TEMPORARY = {"server error", "no answer", "incomplete"}  # reasons where another try may help
WHOLE_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})")
PLAIN_TYPE = re.compile(r"[a-z0-9.+-]{1,50}/[a-z0-9.+-]{1,50}")


@dataclass(frozen=True)
class Answer:
    """What one request came to: a photo, a reason why not, or another URL.

    Attributes:
        reason: A key of `tfrecords.common.types.REASONS`, or empty.
        detail: What more is known of it.
        size: Bytes of the photo that has come.
        location: URL that the server redirects to.
        throttled: Whether the server asks for fewer requests (429 or 503).
        wait: Seconds for which the server wants no request, as far as it says.
    """

    reason: str = ""
    detail: str = ""
    size: int = 0
    location: str = ""
    throttled: bool = False
    wait: float = 0.0

    @property
    def temporary(self) -> bool:
        """Whether another try may help."""
        return self.reason in TEMPORARY


def answer_without_photo(status: int, headers: Mapping[str, str], location: str) -> Answer:
    """Interprets the status and headers of an answer that carries no photo.

    Args:
        status: Of HTTP.
        headers: Of the answer.
        location: URL that was asked for.

    Raises:
        BadAddressError: a redirect that is not followed.
    """
    target = headers.get("Location", "").strip()
    if status in REDIRECTS and target:
        return Answer(location=_join(location, target))
    wait = retry_after(headers.get("Retry-After", ""))
    return Answer(_reason(status), f"HTTP {status}", throttled=status in THROTTLED, wait=wait)


def is_whole(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer has a photo's whole body: 200, 203 (changed by a proxy on the way), or 206
    with all of it as the part that nobody asked for."""
    if status == 206:
        match = WHOLE_RANGE.fullmatch(headers.get("Content-Range", ""))
        return match is not None and int(match[1]) + 1 == int(match[2])
    return status in (200, 203)


def what_else(start: bytes, content_type: str) -> str:
    """Names what a body is that is no photo."""
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "a web page"
    other = PLAIN_TYPE.fullmatch(content_type) and not content_type.startswith("image/")
    return content_type if other else "no known format"


def gunzip(file: BinaryIO, max_bytes: int) -> None:
    """Replaces a gzip file's content by what is in it, at most `max_bytes` of it.

    Raises:
        EOFError, zlib.error, gzip.BadGzipFile: it is truncated or damaged.
    """
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as packed:
        data = packed.read(max_bytes)
    file.seek(0)
    file.truncate()
    file.write(data)


def retry_after(text: str) -> float:
    """Returns the seconds that a Retry-After header asks for, as a number or a date; 0 else."""
    if re.fullmatch("[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):  # no date, or one of another age
        return 0.0


def _reason(status):
    if status in (404, 410):
        return "not found"
    if status in (408, 425, 429) or status >= 500:
        return "server error"
    if status == 206:
        return "incomplete"
    if status in (204, 205):
        return "empty"
    return "refused" if 400 <= status < 500 else "not found"


def _join(location, target):
    try:
        joined = urljoin(location, target)
    except ValueError as error:
        raise BadAddressError("redirected to a URL that can't be parsed") from error
    if location.lower().startswith("https:") and joined.lower().startswith("http:"):
        raise BadAddressError("redirected from https to http")
    return joined
