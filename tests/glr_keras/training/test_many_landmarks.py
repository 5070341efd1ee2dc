"""A run with as many landmarks as a real challenge has: its memory is linear in them."""

import io
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
from paths import REPOSITORY
from PIL import Image

from tfrecords.common.types import SPLITS, Photo
from tfrecords.records.metadata import MANIFEST, Manifest
from tfrecords.records.writer import write_shards

LANDMARKS = 20_000  # one float64 per pair of them: 3.2 GB
GIB = 2**30
FLAGS = [
    *("--backbone", "mobilenet_v2", "--weights", "random", "--image-size", "32", "--views", "1"),
    *("--head", "dropout", "--pooling", "average", "--head-units", "8", "--precision", "float32"),
    *("--epochs", "1", "--batch-size", "256"),
]


def jpegs(count):
    """Small pictures of noise, each another one."""
    random = np.random.default_rng(0)
    for pixels in random.integers(0, 256, (count, 32, 32, 3), np.uint8):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG")
        yield out.getvalue()


@pytest.fixture(scope="module")
def many_landmarks(tmp_path_factory):
    """Records of 20,000 landmarks with one photo of each in every split."""
    folder = tmp_path_factory.mktemp("many")
    names = [f"landmark {number}" for number in range(LANDMARKS)]
    labels = {str(number): number for number in range(LANDMARKS)}
    splits = {split: [Photo(f"{split}/{one}.jpg", one) for one in labels] for split in SPLITS}
    pictures = list(jpegs(100))
    shards = write_shards(
        folder, names, labels, splits, lambda photo: pictures[int(photo.landmark_id) % 100]
    )
    manifest = Manifest(
        source="folder",
        choice={},
        split="as given",
        seed=0,
        short_side=32,
        quality=95,
        photos=dict.fromkeys(SPLITS, LANDMARKS),
        near_duplicates=0,
        skipped={},
        shards=shards,
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder


@pytest.mark.slow
def test_a_run_with_20_000_landmarks_is_complete_within_3_gib(many_landmarks, tmp_path):
    command = [sys.executable, "-m", "glr_keras.fit", "--data-dir", many_landmarks, *FLAGS]
    command = [*map(str, command), "--run-dir", str(tmp_path / "run")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=1800)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest child
    assert before * 1024 < peak < 3 * GIB
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["landmarks"] == metrics["test"]["photos"] == LANDMARKS
    assert len(metrics["test"]["most_confused"]) == 20
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert "most_confused.png" in figures
    assert "confusion_matrix.png" not in figures
