"""Photos that could not be had yet: too many of them end the command before anything is built."""

import math
from array import array
from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.download.options import FetchOptions

SHOWN_CAUSES = 5
ROUNDING = 1e-9  # so that the percentage that is proposed is always enough


class MissingPhotosError(UserError):
    """Photos that another run of the same command may get."""

    exit_code = 3  # unlike a mistake of the user's: a script may wait and try again


def check_missing(
    missing: Mapping[tuple[str, str], array], total: int, folder: Path, options: FetchOptions
) -> None:
    """Compares what failed temporarily with what the user allows to be missing.

    Args:
        missing: (reason, detail) -> numbers of photos.
        total: Photos that were to be there.
        folder: Where those lie that came.
        options: With the limit.

    Raises:
        MissingPhotosError: more are missing.
    """
    count = sum(map(len, missing.values()))
    if count / total <= options.allowed_fraction + ROUNDING:
        return
    causes = sorted(missing.items(), key=lambda cause: -len(cause[1]))
    lines = [
        f"  {len(numbers):,} {reason} ({detail})"
        for (reason, detail), numbers in causes[:SHOWN_CAUSES]
    ]
    if rest := sum(len(numbers) for _, numbers in causes[SHOWN_CAUSES:]):
        lines.append(f"  {rest:,} for other reasons")
    reasons = {reason for reason, _ in missing}
    if "refused" in reasons:
        lines.append(
            "A server that refuses photos may want to know who asks: add --user-agent with your "
            "project and address."
        )
    if "no answer" in reasons:
        lines.append("If no server answers, check the network.")
    percent = math.ceil(1000 * count / total) / 10
    raise MissingPhotosError(
        f"{count:,} of {total:,} photos are not fetched yet, and nothing was built:\n"
        + "\n".join(lines)
        + f"\nWhat came is kept in {folder}. The same command fetches the rest; to build without "
        f"it, add --allow-missing {percent:g}%."
    )
