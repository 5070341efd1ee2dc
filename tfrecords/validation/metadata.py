"""Whether the manifest and the tables beside the shards are there and as they were built."""

import csv
from pathlib import Path
from typing import Any

from tfrecords.common.console import UserError
from tfrecords.common.files import sha256_of
from tfrecords.common.tables import LANDMARKS
from tfrecords.records.metadata import MANIFEST, Landmark, Manifest, parse_landmarks
from tfrecords.validation.findings import Finding


def check_metadata(data: Path) -> tuple[Manifest | None, list[Landmark] | None, list[Finding]]:
    """Reads manifest and landmarks; compares each table, and the list of shards, with the manifest.

    Returns:
        manifest: None if it can't be read.
        landmarks: In label order; None if `landmarks.csv` can't be read.
        findings: What is missing, can't be read or is not what was built.

    Raises:
        UserError: `data` is no records directory, or one of another format.
    """
    if not data.is_dir():
        raise UserError(f"No folder {data}. Expected one that `python -m tfrecords.build` made.")
    if not (data / MANIFEST).exists():
        raise UserError(
            f"{data} holds no {MANIFEST}: `python -m tfrecords.build` did not make it, or it was "
            "copied in part. Name the folder that was given to it as --out."
        )
    findings: list[Finding] = []
    manifest = _read(data / MANIFEST, Manifest.parse, findings)
    landmarks = _read(data / LANDMARKS, parse_landmarks, findings)
    if manifest:
        findings += _compare_files(data, manifest)
    return manifest, landmarks, findings


def _read(path, parse, findings) -> Any:
    """Returns what `parse` makes of a file's text; None, and a finding, if it can't."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UserError:  # a ValueError too, but nothing that is wrong with the file
        raise
    except FileNotFoundError:
        findings.append(Finding("table", f"{path.name} is missing"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        text = f"{path.name} can't be read ({type(error).__name__}: {error})"
        findings.append(Finding("table", text))
    return None


def _compare_files(data, manifest):
    for name, sha256 in manifest.files.items():
        path = data / name
        if not path.is_file():
            if name != LANDMARKS:  # which was missed already
                yield Finding("table", f"{name} is missing")
        elif sha256_of(path) != sha256:
            yield Finding("table", f"{name} has another sha256 than the manifest says")
    listed = {shard.file for shard in manifest.shards}
    found = {path.name for path in data.iterdir() if ".tfrecord" in path.name and path.is_file()}
    for file in sorted(listed - found):
        yield Finding("shard", f"{file} is missing")
    for file in sorted(found - listed):
        yield Finding("shard", f"{file} is not in the manifest")
