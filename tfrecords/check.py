"""Checks records on disk: python -m tfrecords.check DATA"""

import argparse
import hashlib
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tfrecords.common.console import UserError, run_command
from tfrecords.common.parallel import map_on_cores
from tfrecords.common.types import SPLITS, one_line
from tfrecords.records.tfrecord_io import Frame, read_frames
from tfrecords.validation.metadata import Tables, read_tables
from tfrecords.validation.records import KINDS, Finding, examine
from tfrecords.validation.splits import (
    Record,
    find_label_order,
    find_repeated_ids,
    find_wrong_labels,
    group_copies,
    judge_copies,
    judge_counts,
    judge_shares,
)

EXIT_FOUND = 1
SHOWN = 20  # findings of a kind that are printed
CHUNK = 16  # records a process is handed at once: a message per record would slow small photos
FEW = 1000  # records below which starting processes costs more than it saves (measured: near 700)


class Report(NamedTuple):
    """What a check found.

    Attributes:
        tables: What the directory says of itself.
        findings: All that is wrong.
        complete: Whether every record could be read, so that counts and shares were compared.
    """

    tables: Tables
    findings: list[Finding]
    complete: bool


def main() -> None:
    args = parse_args()
    report = check(args.data, args.quick, args.processes)
    print_report(report, args.data, args.quick)
    sys.exit(EXIT_FOUND if report.findings else 0)


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tfrecords.check",
        description="Checks what `python -m tfrecords.build` made: every shard, record and photo, "
        "and that no photo has a copy in another split. Exits with 0 if all is well, with 1 if "
        "anything is wrong, with 2 if DATA is no such folder.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that was built")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only sizes, counts, framing and checksums: no photo is decoded or compared",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="records read at once (default: one per core)"
    )
    return parser.parse_args(argv)


def check(data: Path, quick: bool = False, processes: int | None = None) -> Report:
    """Looks for all that can be wrong with a records directory.

    Args:
        data: Folder that `tfrecords.build` made.
        quick: Leaves out what needs photos to be decoded.
        processes: Int, how many work at once; None for one per core.

    Raises:
        UserError: `data` is no records directory.
    """
    if processes is not None and processes < 1:
        raise UserError(f"--processes must be at least 1, got {processes}.")
    tables = read_tables(data)
    findings = list(tables.findings)
    if tables.manifest is None:
        return Report(tables, findings, False)
    records = _read_records(data, tables, quick, processes, findings)
    if quick:
        return Report(tables, findings, False)
    complete = len(records) == sum(shard.records for shard in tables.manifest.shards)
    copies = group_copies(records)
    findings += find_repeated_ids(records)
    findings += judge_copies(copies)
    findings += find_label_order(records)
    if tables.landmarks is not None:
        findings += find_wrong_labels(records, tables.landmarks)
    if complete and tables.landmarks is not None:
        findings += judge_counts(records, tables.landmarks)
    if complete and tables.manifest.shares:
        findings += judge_shares(records, copies, tables.manifest.shares)
    return Report(tables, findings, complete)


def print_report(report: Report, data: Path, quick: bool) -> None:
    """Prints all that is wrong, at most 20 findings of a kind, or what was checked."""
    if not report.findings:
        _print_table(report.tables)
        looked = "photos were not decoded" if quick else "every photo was decoded and compared"
        print(f"Nothing is wrong with {data}; {looked}.")
        return
    print(f"Wrong with {data}: {len(report.findings):,} in all; records are counted from 1.")
    for kind, title in KINDS.items():
        texts = [finding.text for finding in report.findings if finding.kind == kind]
        if texts:
            print(f"\n{title}: {len(texts):,}")
            print("\n".join(f"  {one_line(text)}" for text in texts[:SHOWN]))
        if len(texts) > SHOWN:
            print(f"  ... and {len(texts) - SHOWN:,} more")
    print(f"\n{_tell_what_to_do(report, quick)}")


def _print_table(tables):
    print(f"{'split':12}{'shards':>8}{'records':>12}{'share':>9}{'landmarks':>11}{'MB':>12}")
    everything = tables.manifest.shards
    total = sum(shard.records for shard in everything)
    for split in SPLITS:
        shards = [shard for shard in everything if shard.split == split]
        records = sum(shard.records for shard in shards)
        landmarks = sum(landmark.photos[split] > 0 for landmark in tables.landmarks)
        size = sum(shard.bytes for shard in shards) / 1e6
        share = records / total
        print(f"{split:12}{len(shards):8,}{records:12,}{share:9.1%}{landmarks:11,}{size:12,.1f}")


def _tell_what_to_do(report, quick):
    manifest, kinds = report.tables.manifest, {finding.kind for finding in report.findings}
    text = ""
    if manifest is None:
        text = "Without the manifest nothing else could be checked.\n"
    elif not (report.complete or quick):
        text = "Counts and shares were not compared, since records are missing.\n"
    elif manifest.came_split and "two splits" in kinds:
        text = "The photos came split: take such copies out of all splits but one.\n"
    return text + (
        "Build the records again with python -m tfrecords.build, or copy them once more from where "
        "they are whole."
    )


def _read_records(data, tables, quick, processes, findings):
    """Reads every shard once; returns the good records, adds what is wrong to `findings`."""
    manifest = tables.manifest
    findings += _judge_files(data, manifest.shards)
    total = sum(shard.records for shard in manifest.shards)
    seen, sums, records = Counter(), {}, []
    with (
        ThreadPoolExecutor(1) as hasher,
        tqdm(total=total, desc="Checking records", unit=" records") as bar,
    ):
        batches = _read_batches(data, manifest.shards, hasher, sums, findings)
        settings = (None if quick else manifest.short_side,)
        processes = processes or (1 if total < FEW else None)
        for index, rows in map_on_cores(_examine_batch, batches, processes, settings):
            shard = manifest.shards[index]
            seen[shard.file] = rows[-1].number
            for row in rows:
                record = _judge_row(shard, row, findings)
                if record:
                    records.append(record)
            bar.update(len(rows))
    findings += _judge_shards(data, manifest.shards, seen, sums)
    return records


def _judge_files(data, shards):
    known = {shard.file for shard in shards}
    there = {path.name for path in data.iterdir() if ".tfrecord" in path.name and path.is_file()}
    for file in sorted(known - there):
        yield Finding("shard", f"{file} is missing")
    for file in sorted(there - known):
        yield Finding("shard", f"{file} is not in the manifest")


def _read_batches(data, shards, hasher, sums, findings):
    for index, shard in enumerate(shards):
        path = data / shard.file
        if not path.is_file():
            continue
        sums[shard.file] = hasher.submit(_sha256, path)
        frames = read_frames(path)
        try:
            while batch := list(islice(frames, CHUNK)):
                yield index, batch
        except OSError as error:
            findings.append(Finding("shard", f"{shard.file} can't be read ({error.strerror})"))


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _examine_batch(batch: tuple[int, list[Frame]], short_side):
    index, frames = batch
    return index, [examine(frame, short_side) for frame in frames]


def _judge_row(shard, row, findings):
    """Adds what is wrong with a record to `findings`; returns it if all its values are known."""
    photo = f" ({row.photo_id})" if row.photo_id else ""
    place = f"{shard.file}, record {row.number}{photo}"
    findings += [Finding(kind, f"{place}: {text}") for kind, text in row.problems]
    if not row.is_known:
        return None
    landmark_id = sys.intern(row.landmark_id)  # or each record would have a copy of it
    return Record(
        shard, row.number, row.photo_id, landmark_id, row.label, row.digest, row.fingerprint
    )


def _judge_shards(data, shards, seen, sums):
    """Says which shards are not the files that were built."""
    for shard in shards:
        if shard.file not in sums:
            continue
        size = (data / shard.file).stat().st_size
        if size != shard.bytes:
            text = f"{shard.file} has {size:,} bytes, the manifest says {shard.bytes:,}"
            yield Finding("shard", text)
        elif _differs(sums[shard.file], shard.sha256):
            yield Finding("shard", f"{shard.file} has another sha256 than the manifest says")
        if seen[shard.file] > shard.records:
            text = f"{seen[shard.file]:,} records, the manifest says {shard.records:,}"
            yield Finding("shard", f"{shard.file} holds {text}")
        elif seen[shard.file] < shard.records:
            first, last = seen[shard.file] + 1, shard.records
            which = f"records {first} to {last}" if first < last else f"record {last}"
            yield Finding("record", f"{shard.file}, {which}: not found")


def _differs(sum_to_come, sha256):
    failed = sum_to_come.exception()  # then reading the records has failed too, and that is told
    return failed is None and sum_to_come.result() != sha256


if __name__ == "__main__":
    run_command(main)
