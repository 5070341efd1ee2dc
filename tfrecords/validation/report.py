"""Prints what a check found, or what it covered."""

from pathlib import Path

from tfrecords.common.types import SPLITS, one_line
from tfrecords.records.metadata import PRE_SPLIT
from tfrecords.validation.findings import KINDS
from tfrecords.validation.runner import Report

MAX_SHOWN = 20  # findings of a kind


def print_report(report: Report, data: Path) -> None:
    """Prints all that is wrong, at most 20 findings of a kind, or what was checked.

    Args:
        report: From `check`.
        data: Folder that was checked.
    """
    if not report.findings:
        _print_table(report)
        checked = (
            "photos were not decoded" if report.quick else "every photo was decoded and compared"
        )
        print(f"Nothing is wrong with {data}; {checked}.")
        return
    print(f"Wrong with {data}: {len(report.findings):,} in all; records are counted from 1.")
    for kind, title in KINDS.items():
        texts = [finding.text for finding in report.findings if finding.kind == kind]
        if texts:
            print(f"\n{title}: {len(texts):,}")
            print("\n".join(f"  {one_line(text)}" for text in texts[:MAX_SHOWN]))
        if len(texts) > MAX_SHOWN:
            print(f"  ... and {len(texts) - MAX_SHOWN:,} more")
    print(f"\n{_advise(report)}")


def _print_table(report):
    print(f"{'split':12}{'shards':>8}{'records':>12}{'fraction':>10}{'landmarks':>11}{'MB':>12}")
    everything = report.manifest.shards
    total = sum(shard.records for shard in everything) or 1
    for split in SPLITS:
        shards = [shard for shard in everything if shard.split == split]
        records = sum(shard.records for shard in shards)
        landmarks = sum(landmark.photos[split] > 0 for landmark in report.landmarks)
        size = sum(shard.bytes for shard in shards) / 1e6
        print(
            f"{split:12}{len(shards):8,}{records:12,}{records / total:10.1%}{landmarks:11,}"
            f"{size:12,.1f}"
        )


def _advise(report):
    manifest, kinds = report.manifest, {finding.kind for finding in report.findings}
    text = ""
    if manifest is None:
        text = "Without the manifest nothing else could be checked.\n"
    elif manifest.split == PRE_SPLIT and "two splits" in kinds:
        text = "The folder was split already: take such copies out of all its splits but one.\n"
    return text + (
        "Build the records again with python -m tfrecords.build, or copy them once more from where "
        "they are whole."
    )
