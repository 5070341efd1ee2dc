"""The tables of a records directory: the manifest, and whether the others agree with it."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS
from tfrecords.validation.records import FEATURES, Finding

MANIFEST = "manifest.json"
FORMAT = 1


class Shard(NamedTuple):
    """What the manifest says of a shard."""

    file: str
    split: str
    records: int
    bytes: int
    sha256: str


class Manifest(NamedTuple):
    """What the check needs of `manifest.json`.

    Attributes:
        photos: Split name -> photos.
        skipped: Reason -> photos.
        shares: Percent for train, validation and test; None where none were asked for.
        came_split: Whether the photos were split before they became records.
    """

    shards: list[Shard]
    photos: dict[str, int]
    skipped: dict[str, int]
    short_side: int
    shares: list[float] | None
    came_split: bool


class Landmark(NamedTuple):
    """A row of `landmarks.csv`; its label is its place."""

    landmark_id: str
    name: str
    photos: dict[str, int]


class Tables(NamedTuple):
    """What a records directory says of itself.

    Attributes:
        manifest: None if it can't be read.
        landmarks: In label order; None if `landmarks.csv` can't be read.
        findings: What can't be read or does not agree.
    """

    manifest: Manifest | None
    landmarks: list[Landmark] | None
    findings: list[Finding]


def read_tables(data: Path) -> Tables:
    """Reads the tables beside the shards and compares them with the manifest.

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
    findings = []
    manifest = _read(data / MANIFEST, _parse_manifest, findings)
    landmarks = _read(data / "landmarks.csv", _parse_landmarks, findings)
    _judge(data / "dataset_info.json", _judge_dataset_info, manifest, findings)
    _judge(data / "skipped.csv", _judge_skipped, manifest, findings)
    _judge(data / "features.json", _judge_features, landmarks, findings)
    _judge(data / "label.labels.txt", _judge_names, landmarks, findings)
    if manifest and landmarks:
        findings += _judge_counts(manifest, landmarks)
    return Tables(manifest, landmarks, findings)


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


def _judge(path, judge, expected, findings):
    if expected is not None:  # else that is a finding already
        findings += _read(path, lambda text: list(judge(text, expected)), findings) or []


def _parse_manifest(text):
    content = json.loads(text)
    if content["format"] != FORMAT:
        raise UserError(
            f"{MANIFEST} is of format {content['format']}, expected {FORMAT}. Check these records "
            "with the version of this program that built them."
        )
    shards = [
        Shard(row["file"], row["split"], int(row["records"]), int(row["bytes"]), row["sha256"])
        for row in content["shards"]
    ]
    photos = {split: int(content["photos"][split]) for split in SPLITS}
    split, shares = content.get("split"), None
    came_split = split == "as given"
    if split is not None and not came_split:
        train, validation, test = split
        shares = [float(train), float(validation), float(test)]
    short_side = int(content["short_side"])
    return Manifest(shards, photos, content["skipped"], short_side, shares, came_split)


def _parse_landmarks(text):
    rows = _read_csv(text)
    if [row["label"] for row in rows] != [str(label) for label in range(len(rows))]:
        raise ValueError("expected labels that count up from 0")
    return [
        Landmark(row["landmark_id"], row["name"], {split: int(row[split]) for split in SPLITS})
        for row in rows
    ]


def _read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _judge_dataset_info(text, manifest):
    file = "dataset_info.json"
    splits = json.loads(text)["splits"]
    lengths = {split["name"]: [int(length) for length in split["shardLengths"]] for split in splits}
    for split in SPLITS:
        expected = [shard.records for shard in manifest.shards if shard.split == split]
        found = lengths.get(split, [])
        if found != expected:
            yield _differ(f"records of the {split} shards", file, found, expected)
        if manifest.photos[split] != sum(expected):
            yield _differ(f"{split} photos", MANIFEST, manifest.photos[split], sum(expected))


def _judge_counts(manifest, landmarks):
    for split in SPLITS:
        found = sum(landmark.photos[split] for landmark in landmarks)
        if found != manifest.photos[split]:
            yield _differ(f"{split} photos", "landmarks.csv", found, manifest.photos[split])


def _judge_skipped(text, manifest):
    found = dict(Counter(row["reason"] for row in _read_csv(text)))
    if found != manifest.skipped:
        yield _differ("photos left out", "skipped.csv", found, manifest.skipped)


def _judge_features(text, landmarks):
    features = json.loads(text)["featuresDict"]["features"]
    if sorted(features) != sorted(FEATURES):
        yield _differ("features", "features.json", sorted(features), sorted(FEATURES))
    found = int(features["label"]["classLabel"]["numClasses"])
    if found != len(landmarks):
        yield _differ("landmarks", "features.json", found, len(landmarks))


def _judge_names(text, landmarks):
    found = text.removesuffix("\n").split("\n")
    names = [landmark.name for landmark in landmarks]
    if len(found) != len(names):
        yield _differ("names of landmarks", "label.labels.txt", len(found), len(names))
    for label, (name, expected) in enumerate(zip(found, names, strict=False)):
        if name != expected:
            yield _differ(f"name of label {label}", "label.labels.txt", name, expected)


def _differ(what, file, found, expected):
    return Finding("table", f"{file}, {what}: {found}, expected {expected}")
