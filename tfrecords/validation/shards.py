"""Whether a shard is the file that was built, and all of its records are good."""

from pathlib import Path

from tfrecords.common.files import sha256_of
from tfrecords.records.metadata import Shard
from tfrecords.records.tfrecord_io import read_frames
from tfrecords.validation.findings import Finding
from tfrecords.validation.records import Record, check_record


def check_shard(
    shard: Shard, data: Path, short_side: int | None
) -> tuple[list[Record], list[Finding]]:
    """Compares a shard with the manifest and checks its records.

    Args:
        shard: What the manifest says of it.
        data: Folder that holds it.
        short_side: Int, pixels, that the short side of no photo exceeds; None to check framing and
            checksums only.

    Returns:
        records: Those of which it is known which photo of which landmark they are.
        findings: All that is wrong.
    """
    path = data / shard.file
    records, findings, found = [], [], 0
    try:
        findings += _compare_file(path, shard)
        for frame in read_frames(path):
            found = frame.number
            record, problems = check_record(frame, shard.file, shard.split, short_side)
            findings += problems
            if record.is_known:
                records.append(record)
    except OSError as error:
        findings.append(Finding("shard", f"{shard.file} can't be read ({error.strerror})"))
    findings += _compare_count(shard, found)
    return records, findings


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
