"""Files that are written atomically."""

import os
import sys
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def warn_corrupted(path: Path, remedy: str) -> None:
    """Names a file that is not what was written, and what is done about it."""
    print(f"warning: {path} was damaged; {remedy}.", file=sys.stderr)
