"""What `manifest.json` beside the records says of them; read without TensorFlow."""

import hashlib
import json
from pathlib import Path


def read_manifest(data_dir: Path) -> dict | None:
    """Returns the manifest of the records in `data_dir`; None where none can be read."""
    try:
        manifest = json.loads((data_dir / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def is_demo(manifest: dict) -> bool:
    """Whether the records are the built-in demo's."""
    return manifest.get("demo") is True


def fingerprint(manifest: dict) -> str:
    """Changes when any record does: a hash of the shards' hashes."""
    shards = json.dumps(manifest["shards"], sort_keys=True)
    return hashlib.sha256(shards.encode()).hexdigest()
