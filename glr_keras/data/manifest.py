"""What `manifest.json` beside the records says of them; read without TensorFlow."""

import hashlib
import json
from pathlib import Path


def read_manifest(data_dir: Path) -> dict | None:
    """Returns the manifest of the records in `data_dir`; None where none can be read."""
    try:
        return load_manifest(data_dir)
    except (OSError, ValueError):
        return None


def load_manifest(data_dir: Path) -> dict:
    """Returns the manifest of the records in `data_dir`.

    Raises:
        OSError, ValueError: there is none, or it can't be read.
    """
    manifest = json.loads((data_dir / "manifest.json").read_text(encoding="utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError("manifest.json holds no object")
    return manifest


def is_demo(manifest: dict) -> bool:
    """Whether the records are the built-in demo's."""
    return manifest.get("demo") is True


def fingerprint(manifest: dict) -> str:
    """Changes when any record does: a hash of the shards' hashes."""
    shards = json.dumps(manifest["shards"], sort_keys=True)
    return hashlib.sha256(shards.encode()).hexdigest()
