"""FetchOptions: every choice of a download, once, with its default, its unit and its reason."""

import re
from dataclasses import dataclass
from functools import partial

from tfrecords.common import flags
from tfrecords.common.console import UserError

USER_AGENT = "glr-keras (fetches the landmark photos its user lists) aiohttp"
PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)%")


option = partial(flags.option, group="download")


@dataclass(frozen=True)
class FetchOptions:
    """How photos are fetched: how fast, how patiently, and what is refused.

    Raises:
        UserError: a value is out of its range.
    """

    # 16 requests under way fill a home line; one server sees few of them.
    workers: int = option(16, "photos fetched at once")
    # Wikimedia, whose photos Google Landmarks v2 lists, asks robots for at most two.
    per_host: int = option(2, "photos fetched at once from one server")
    host_delay: float = option(0.0, "seconds between the starts of two requests to one server")
    timeout: float = option(15.0, "seconds to wait for a connection, and for each further byte")
    # 16 photos of 2 MB within it need 2 Mbit/s. It is what stops a server that drips.
    deadline: float = option(120.0, "seconds that one request may take in all")
    retries: int = option(3, "further tries after a time-out, a lost connection, 408, 425 or 5xx")
    backoff: float = option(1.0, "seconds before the first further try; doubled for each one more")
    max_wait: float = option(120.0, "seconds to wait at most, even where a server asks for more")
    max_redirects: int = option(5, "redirects followed for one photo")
    max_bytes: int = option(30_000_000, "a photo with more bytes is left out")
    allow_missing: str = option(
        "0%", "build although up to this percentage of the photos, such as 5%, can't be had yet"
    )
    allow_private: bool = option(
        False, "fetch from private and loopback networks, from any port and through proxies too"
    )
    retry_failed: bool = option(False, "ask again for photos that could not be had before")
    user_agent: str = option(USER_AGENT, "how to introduce ourselves; Wikimedia wants an address")

    def __post_init__(self):
        for name in ("workers", "per_host", "timeout", "deadline", "max_bytes"):
            if not getattr(self, name) > 0:
                raise _out_of_range(self, name, "more than 0")
        for name in ("host_delay", "retries", "backoff", "max_wait", "max_redirects"):
            if not getattr(self, name) >= 0:
                raise _out_of_range(self, name, "0 or more")
        text = self.user_agent
        if not (text.strip() and text.isascii() and text.isprintable()):
            raise _out_of_range(self, "user_agent", "a line of ASCII text")
        if not 0 <= self.allowed_fraction <= 1:
            raise _out_of_range(self, "allow_missing", "a percentage from 0% to 100%, such as 5%")

    @property
    def allowed_fraction(self) -> float:
        """`allow_missing` as a number from 0 to 1; not a number where it is no percentage."""
        match = PERCENT.fullmatch(self.allow_missing.strip())
        return float(match[1]) / 100 if match else float("nan")


def _out_of_range(options, name, wanted):
    return UserError(f"{flags.flag_of(name)} must be {wanted}, got {getattr(options, name)}.")
