"""What a build reports at its end."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.text import pad, shorten, width
from tfrecords.common.types import REASONS, SPLITS
from tfrecords.sources.source import Source
from tfrecords.splitting.assignment import Assignment, count_reasons
from tfrecords.splitting.stratified import MIN_FOR_SPLIT

MAX_LANDMARKS = 30  # rows of the table; landmarks.csv has all
MAX_NAMES = 10  # in a warning
NAME_COLUMNS = 32
TITLES = ("read", "kept", *SPLITS)


def print_summary(
    assignment: Assignment,
    names: Mapping[str, str],
    read: Mapping[str, int],
    source: Source,
    out: Path,
) -> None:
    """Prints what was read, kept and left out, per landmark, split and reason.

    Args:
        assignment: Which split every photo went to.
        names: landmark_id -> name, of the landmarks in the records.
        read: landmark_id -> photos that were chosen.
        source: Where they came from.
        out: Where the records are.
    """
    kept = sum(assignment.counts.values(), Counter())
    _print_table(names, assignment, kept, read)
    skipped = assignment.skipped
    print(f"\n{kept.total():,} photos of {len(kept):,} landmarks kept, {len(skipped):,} left out.")
    for reason, count in count_reasons(skipped):
        print(f"  {count:,} x {reason}: {REASONS[reason]}")
    if assignment.groups:
        groups = len(set(assignment.groups.values()))
        print(
            f"{len(assignment.groups):,} photos are near-duplicates, in {groups:,} groups; a group "
            "stays in one split."
        )
    if conflicts := assignment.conflicts:
        print(
            f"{sum(conflicts):,} photos, in {len(conflicts):,} clusters of copies, have a copy "
            f"under another landmark and are left out; the largest cluster lost {max(conflicts):,}."
        )
    _print_warnings(assignment, kept, read, source)
    print(f"Records are in {out}, what was left out in {out / 'skipped.csv'}.")


def _print_table(names, assignment, kept, read):
    counts = assignment.counts
    ranked = sorted(assignment.landmark_ids, key=lambda one: (-kept[one], names[one]))
    rows = [
        (shorten(names[one], NAME_COLUMNS), read[one], kept[one], *(counts[s][one] for s in SPLITS))
        for one in ranked
    ]
    total = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    shown = rows[:MAX_LANDMARKS]
    columns = max(len("landmark"), *(width(row[0]) for row in shown))
    print("\n" + pad("landmark", columns) + "".join(f"{title:>11}" for title in TITLES))
    for name, *numbers in shown:
        print(_row(name, numbers, columns))
    if len(rows) > len(shown):
        print(f"... and {len(rows) - len(shown):,} landmarks more, in landmarks.csv")
    print(_row(total[0], total[1:], columns))


def _row(name, numbers, columns):
    return pad(name, columns) + "".join(f"{number:>11,}" for number in numbers)


def _print_warnings(assignment, kept, read, source):
    if assignment.leaks:
        print(
            f"warning: {assignment.leaks:,} photos have a copy in another split. The folder was "
            "split already, so they stay; python -m tfrecords.check names them."
        )
    for note in source.notes:
        print(note)
    if source.elsewhere:
        print(f"{source.elsewhere:,} photos of the index are in other archives.")
    tested = assignment.counts["test"]
    if assignment.percentages and (few := [one for one in kept if not tested[one]]):
        print(
            f"warning: fewer than {MIN_FOR_SPLIT} different photos, so only trained on, never "
            f"tested: {_list(few)}"
        )
    if gone := set(source.empty_landmarks) | (set(read) - set(kept)):
        print(f"warning: no good photo, so no landmark: {_list(gone)}")


def _list(names):
    names = sorted(names)
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
