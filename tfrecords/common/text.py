"""Names of any script on one line of a limited width."""

import unicodedata

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def width(text: str) -> int:
    """Returns how many columns of a terminal `text` takes: two for a Chinese character."""
    return sum(map(_columns, text))


def shorten(text: str, max_columns: int) -> str:
    """Returns `text` on one line; where it takes more than `max_columns`, its start and "…"."""
    text = " ".join(text.split())
    columns = 0
    for end, character in enumerate(text):
        columns += _columns(character)
        if columns > max_columns:
            return text[: end - 1].rstrip() + ELLIPSIS
    return text


def pad(text: str, columns: int) -> str:
    """Returns `text` with spaces behind it, up to so many columns of a terminal."""
    return text + " " * (columns - width(text))


def _columns(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
