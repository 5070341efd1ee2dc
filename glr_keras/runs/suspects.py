"""suspects.csv: photos of a run whose label may be wrong, the most suspect first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glr_keras.runs.tables import read_rows, write_rows

FOLDER, FILE = Path("evaluation", "suspects"), "suspects.csv"


@dataclass(frozen=True)
class Suspect:
    """A photo whose label may be wrong.

    Attributes:
        split: Where it is.
        number: Its place in the records of the split, from 0 on.
        photo: Its id in the records.
        label: Name of the landmark that it is filed under.
        likelier: Name of another one that the model finds likeliest.
        score: Log of the odds of its label against that one; below 0, the lowest most suspect.
    """

    split: str
    number: int
    photo: str
    label: str
    likelier: str
    score: float


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """Writes a row per suspect, the most suspect first."""
    write_rows(path, Suspect, suspects)


def read_suspects(run_dir: Path, count: int) -> list[Suspect] | None:
    """Reads the first suspects of a run; None where nobody has asked for them.

    Raises:
        UserError: it is no such table.
    """
    remedy = "Delete it, or list them again."
    return read_rows(run_dir / FOLDER / FILE, Suspect, remedy, count)
