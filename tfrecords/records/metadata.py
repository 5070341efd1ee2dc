"""What lies beside the shards: the manifest's schema, and how it and the tables are written."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tfrecords.common.console import UserError
from tfrecords.common.files import sha256_of, write_atomically, write_csv
from tfrecords.common.tables import LANDMARKS, SKIPPED
from tfrecords.common.types import SPLITS, Photo
from tfrecords.images.convert import JPEG_QUALITY
from tfrecords.images.prepared import Outcome, Prepared
from tfrecords.records.histogram import draw_histogram
from tfrecords.splitting.assignment import Assignment, count_reasons

MANIFEST = "manifest.json"
FORMAT = 1
PRE_SPLIT = "as given"  # in place of percentages
CODECS = ("jpg", "libjpeg_turbo", "jpg_2000", "libtiff", "webp", "avif")  # as Pillow names them


@dataclass(frozen=True)
class Shard:
    """A file of records.

    Attributes:
        file: Its name.
        split: "train", "validation" or "test".
        records: How many it holds.
        bytes: Its size.
        sha256: Of the whole file, hexadecimal.
    """

    file: str
    split: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says of a directory of records.

    Attributes:
        demo: Whether the photos are the built-in demo's.
        source: "folder", "index" or "archives".
        choice: Which landmarks and photos were asked for.
        split: Percent of train, validation and test; PRE_SPLIT where the folder was split already.
        seed: Of choice and split.
        short_side: Pixels that the short side of no photo exceeds.
        quality: Of the JPEGs.
        photos: Split -> photos.
        near_duplicates: Photos that have one.
        skipped: Reason -> photos.
        versions: Library -> version, of those that decide the bytes of a record.
        files: Name -> sha256, of the tables beside the shards.
        shards: In the order of their splits and numbers.
    """

    demo: bool = False
    source: str
    choice: dict[str, Any]
    split: Sequence[int] | str
    seed: int
    short_side: int
    quality: int
    photos: dict[str, int]
    near_duplicates: int
    skipped: dict[str, int]
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    shards: list[Shard]

    @classmethod
    def parse(cls, text: str) -> "Manifest":
        """Reads `manifest.json`.

        Raises:
            UserError: it is of another format.
            ValueError, LookupError, TypeError: it is no manifest.
        """
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise UserError(
                f"{MANIFEST} is of format {content['format']}, expected {FORMAT}. Check these "
                "records with the version of this program that built them."
            )
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        shards = [
            Shard(row["file"], row["split"], int(row["records"]), int(row["bytes"]), row["sha256"])
            for row in content["shards"]
        ]
        if not shards:
            raise ValueError("it lists no shard")
        return cls(**values | {"shards": shards, "short_side": int(content["short_side"])})

    def to_json(self) -> str:
        values = {"format": FORMAT} | asdict(self)
        if not self.demo:
            del values["demo"]
        return json.dumps(values, indent=2) + "\n"


@dataclass(frozen=True)
class Landmark:
    """A row of `landmarks.csv`; its label is its place.

    Attributes:
        photos: Split -> photos.
    """

    landmark_id: str
    name: str
    photos: dict[str, int]


def write_metadata(
    folder: Path,
    shards: Sequence[Shard],
    assignment: Assignment,
    names: Mapping[str, str],
    listed: Mapping[str, int],
    origin: Mapping[str, Any],
) -> None:
    """Writes tables, histogram and, last, the manifest.

    Args:
        folder: Holds shards and TFDS's metadata.
        shards: From `write_shards` or `describe_shards`.
        assignment: Which split every photo went to.
        names: landmark_id -> name, of all landmarks that have one; no two in the records are equal.
        listed: landmark_id -> photos, of all landmarks there were to choose from.
        origin: "source", "choice", "seed", "short_side" and "demo" of the manifest.
    """
    rows = [(row.photo_id, row.reason, row.detail) for row in assignment.skipped]
    write_csv(folder / SKIPPED, ("photo", "reason", "detail"), rows)
    landmarks = [
        (label, one, names[one], *(assignment.counts[split][one] for split in SPLITS))
        for label, one in enumerate(assignment.landmark_ids)
    ]
    write_csv(folder / LANDMARKS, ("label", "landmark_id", "name", *SPLITS), landmarks)
    draw_histogram(assignment.counts, listed, names, folder / "histogram.png")
    manifest = Manifest(
        **origin,
        split=assignment.percentages or PRE_SPLIT,
        quality=JPEG_QUALITY,
        photos={split: len(photos) for split, photos in assignment.splits.items()},
        near_duplicates=len(assignment.groups),
        skipped=dict(count_reasons(assignment.skipped)),
        versions=library_versions(),
        files={path.name: sha256_of(path) for path in list_tables(folder)},
        shards=list(shards),
    )
    write_atomically(folder / MANIFEST, manifest.to_json())


def write_sources(
    path: Path, photos: Iterable[Photo], outcomes: Iterable[Outcome], assignment: Assignment
) -> None:
    """Writes which files the records were made of, so that a later build takes them over.

    A row has the hash of a good photo's file; of a copy that got no record, also what it takes to
    find its like among photos that are added.

    Args:
        path: Of the table.
        photos: Photos that were read.
        outcomes: What came of each.
        assignment: Which split every photo went to.
    """
    kept = {photo.photo_id for photos in assignment.splits.values() for photo in photos}

    def rows():
        for photo, known in zip(photos, outcomes, strict=True):
            if isinstance(known, Prepared):
                copy = (photo.landmark_id, known.digest.hex(), known.fingerprint.hex())
                in_records = photo.photo_id in kept
                yield photo.photo_id, known.source.hex(), *(("", "", "") if in_records else copy)

    write_csv(path, ("photo", "file", "landmark_id", "digest", "fingerprint"), rows())


def list_tables(folder: Path) -> list[Path]:
    """Returns the files beside the shards that the manifest has a sha256 of, sorted."""
    tables = {path for suffix in ("csv", "json", "txt") for path in folder.glob(f"*.{suffix}")}
    return sorted(tables - {folder / MANIFEST})


def describe_shards(folder: Path) -> list[Shard]:
    """Describes the shards of a TFDS directory that another program wrote: reads all of them."""
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    lengths = {split["name"]: split["shardLengths"] for split in info["splits"]}
    return [
        Shard(path.name, split, int(length), path.stat().st_size, sha256_of(path))
        for split in SPLITS
        for path, length in zip(
            sorted(folder.glob(f"*-{split}.tfrecord-*")), lengths[split], strict=True
        )
    ]


def parse_landmarks(text: str) -> list[Landmark]:
    """Reads `landmarks.csv`.

    Raises:
        ValueError, KeyError, TypeError, csv.Error: it is no such table.
    """
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if [row["label"] for row in rows] != [str(label) for label in range(len(rows))]:
        raise ValueError("expected labels that count up from 0")
    return [
        Landmark(row["landmark_id"], row["name"], {split: int(row[split]) for split in SPLITS})
        for row in rows
    ]


def library_versions() -> dict[str, str]:
    """Returns the versions of what decodes, scales, encodes and compares photos."""
    import cv2
    import numpy
    import PIL
    from PIL import features

    codecs = {name: features.version(name) for name in CODECS}
    libraries = {"numpy": numpy.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}
    return libraries | {name: version for name, version in codecs.items() if version}
