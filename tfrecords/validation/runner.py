"""Runs all checks of a records directory."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.console import UserError
from tfrecords.common.parallel import map_on_cores
from tfrecords.records.metadata import Landmark, Manifest
from tfrecords.validation.findings import Finding
from tfrecords.validation.metadata import check_metadata
from tfrecords.validation.shards import check_shard
from tfrecords.validation.splits import find_bad_copies, find_repeated_ids, find_wrong_labels

MIN_PARALLEL_RECORDS = 1000  # with fewer, starting processes costs more than it saves


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        manifest: What the directory says of itself; None if it can't be read.
        landmarks: In label order; None if `landmarks.csv` can't be read.
        findings: All that is wrong.
        quick: Whether photos were not decoded.
    """

    manifest: Manifest | None
    landmarks: list[Landmark] | None
    findings: list[Finding]
    quick: bool


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
    manifest, landmarks, findings = check_metadata(data)
    if manifest:
        records = _check_shards(data, manifest, quick, processes, findings)
        findings += find_repeated_ids(records)
        findings += find_bad_copies(records, processes)
        if landmarks is not None:
            findings += find_wrong_labels(records, landmarks)
    return Report(manifest, landmarks, findings, quick)


def _check_shards(data, manifest, quick, processes, findings):
    """Returns the known records of all shards; adds what is wrong with them to `findings`."""
    shards = [shard for shard in manifest.shards if (data / shard.file).is_file()]
    total = sum(shard.records for shard in shards)
    settings = (data, None if quick else manifest.short_side)
    processes = processes or (1 if total < MIN_PARALLEL_RECORDS else None)
    reports = map_on_cores(check_shard, shards, processes, settings)
    records = []
    with tqdm(total=total, desc="Checking records", unit=" records") as bar:
        for shard, (of_shard, problems) in zip(shards, reports, strict=True):
            records += of_shard
            findings += problems
            bar.update(shard.records)
    return records
