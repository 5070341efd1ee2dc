"""Writes what lies beside the shards: manifest, tables, histogram."""

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tfrecords.common.types import SPLITS
from tfrecords.images.convert import JPEG_QUALITY
from tfrecords.records.histogram import draw_histogram
from tfrecords.sources.challenge_csv import distinct_names
from tfrecords.sources.source import Source
from tfrecords.splitting.assignment import Placement, count_reasons

MANIFEST = "manifest.json"


def write_tables(
    folder: Path,
    placement: Placement,
    listed: Mapping[str, int],
    source: Source,
    choice: dict,
) -> None:
    """Fills `folder`, where the shards are already.

    Args:
        folder: The records' directory.
        placement: Where every photo went.
        listed: landmark_id -> photos, of all landmarks there were to choose from.
        source: Where the photos came from.
        choice: What was asked for: "choice" (a dict), "seed" and "short_side"; "demo" where it is
            the built-in demo.
    """
    manifest = {
        "format": 1,
        **({"demo": True} if choice.get("demo") else {}),
        "source": source.kind,
        "choice": choice["choice"],
        "split": placement.shares or "as given",
        "seed": choice["seed"],
        "short_side": choice["short_side"],
        "quality": JPEG_QUALITY,
        "photos": {split: len(photos) for split, photos in placement.splits.items()},
        "near_duplicates": len(placement.groups),
        "skipped": dict(count_reasons(placement.skipped)),
        "shards": _describe_shards(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    rows = [(row.photo_id, row.reason, row.detail) for row in placement.skipped]
    _write_csv(folder / "skipped.csv", ("photo", "reason", "detail"), rows)
    names = distinct_names(placement.landmark_ids, source.names)
    rows = [
        (label, landmark_id, name, *(placement.counts[split][landmark_id] for split in SPLITS))
        for label, (landmark_id, name) in enumerate(zip(placement.landmark_ids, names, strict=True))
    ]
    _write_csv(folder / "landmarks.csv", ("label", "landmark_id", "name", *SPLITS), rows)
    draw_histogram(placement.counts, listed, source.names, folder / "histogram.png")


def _describe_shards(folder):
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    lengths = {split["name"]: split["shardLengths"] for split in info["splits"]}
    shards = []
    for split in SPLITS:
        paths = sorted(folder.glob(f"*-{split}.tfrecord-*"))
        for path, length in zip(paths, lengths[split], strict=True):
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            shards.append(
                {
                    "file": path.name,
                    "split": split,
                    "records": int(length),
                    "bytes": path.stat().st_size,
                    "sha256": digest,
                }
            )
    return shards


def _write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
