"""Whether a shard is the file that was built, and all of its records are good."""

from dataclasses import dataclass, field
from pathlib import Path

from tfrecords.common.files import sha256_of
from tfrecords.records.metadata import Shard
from tfrecords.records.tfrecord_io import read_frames
from tfrecords.validation.findings import Finding
from tfrecords.validation.records import Record, check_record


@dataclass(frozen=True)
class ShardReport:
    """What was found in a shard.

    Attributes:
        records: Those of which it is known which photo of which landmark they are.
        findings: All that is wrong.
    """

    records: list[Record] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_shard(shard: Shard, data: Path, short_side: int | None) -> ShardReport:
    """Compares a shard with the manifest and checks its records.

    Args:
        shard: What the manifest says of it.
        data: Folder that holds it.
        short_side: Int, pixels, that the short side of no photo exceeds; None to check framing and
            checksums only.
    """
    path = data / shard.file
    report = ShardReport()
    found = 0
    try:
        report.findings.extend(_compare_file(path, shard))
        for frame in read_frames(path):
            found = frame.number
            record, findings = check_record(frame, shard.file, shard.split, short_side)
            report.findings.extend(findings)
            if record.is_known:
                report.records.append(record)
    except OSError as error:
        text = f"{shard.file} can't be read ({error.strerror})"
        report.findings.append(Finding("shard", text))
    report.findings.extend(_compare_count(shard, found))
    return report


def _compare_file(path, shard):
    size = path.stat().st_size
    if size != shard.bytes:
        text = f"{shard.file} has {size:,} bytes, the manifest says {shard.bytes:,}"
        yield Finding("shard", text)
    elif sha256_of(path) != shard.sha256:
        yield Finding("shard", f"{shard.file} has another sha256 than the manifest says")


def _compare_count(shard, found):
    if found > shard.records:
        text = f"{found:,} records, the manifest says {shard.records:,}"
        yield Finding("shard", f"{shard.file} holds {text}")
    elif found < shard.records:
        first, last = found + 1, shard.records
        which = f"records {first} to {last}" if first < last else f"record {last}"
        yield Finding("record", f"{shard.file}, {which}: not found")
