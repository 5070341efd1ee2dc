"""What a build tells at its end."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.types import REASONS, SPLITS
from tfrecords.sources.challenge_csv import distinct_names
from tfrecords.sources.source import Source
from tfrecords.splitting.assignment import Placement, count_reasons
from tfrecords.splitting.stratified import MIN_FOR_SPLIT

MOST_LANDMARKS = 30  # rows of the table; landmarks.csv has all
MOST_NAMES = 10  # in a warning
NAME_WIDTH = 32  # characters
COLUMNS = ("read", "kept", *SPLITS)


def print_summary(placement: Placement, read: Mapping[str, int], source: Source, out: Path) -> None:
    """Prints what was read, kept and left out, per landmark, split and reason.

    Args:
        placement: Where every photo went.
        read: landmark_id -> photos that were chosen.
        source: Where they came from.
        out: Where the records are.
    """
    kept = sum(placement.counts.values(), Counter())
    names = distinct_names(placement.landmark_ids, source.names)
    _print_table(
        dict(zip(placement.landmark_ids, names, strict=True)), placement.counts, kept, read
    )
    skipped = placement.skipped
    print(f"\n{kept.total():,} photos of {len(kept):,} landmarks kept, {len(skipped):,} left out.")
    for reason, count in count_reasons(skipped):
        print(f"  {count:,} x {reason}: {REASONS[reason]}")
    if placement.groups:
        groups = len(set(placement.groups.values()))
        print(
            f"{len(placement.groups):,} photos are near-duplicates, in {groups:,} groups; a group "
            "stays in one split."
        )
    _print_warnings(placement, kept, read, source)
    print(f"Records are in {out}, what was left out in {out / 'skipped.csv'}.")


def _print_table(names, counts, kept, read):
    ranked = sorted(names, key=lambda one: (-kept[one], names[one]))
    rows = [
        (names[one], read[one], kept[one], *(counts[split][one] for split in SPLITS))
        for one in ranked
    ]
    total = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    shown = rows[:MOST_LANDMARKS]
    width = max(len("landmark"), *(min(NAME_WIDTH, len(row[0])) for row in shown))
    print("\n" + "landmark".ljust(width) + "".join(f"{title:>11}" for title in COLUMNS))
    for name, *numbers in [*shown, total]:
        if name == "all" and len(rows) > len(shown):
            print(f"... and {len(rows) - len(shown):,} landmarks more, in landmarks.csv")
        print(_shorten(name).ljust(width) + "".join(f"{number:>11,}" for number in numbers))


def _shorten(name):
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _print_warnings(placement, kept, read, source):
    if placement.leaks:
        print(
            f"warning: {placement.leaks:,} photos have a copy in another split. The folder came "
            "split, so they stay; python -m tfrecords.check names them."
        )
    for note in source.notes:
        print(note)
    if source.elsewhere:
        print(f"{source.elsewhere:,} photos of the index are in other archives.")
    if placement.shares and (few := [one for one in kept if not placement.counts["test"][one]]):
        print(
            f"warning: fewer than {MIN_FOR_SPLIT} different photos, so only trained on, never "
            f"tested: {_list(few)}"
        )
    if gone := set(source.empty_landmarks) | (set(read) - set(kept)):
        print(f"warning: no good photo, so no landmark: {_list(gone)}")


def _list(names):
    names = sorted(names)
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
