"""suspects.csv: photos of a run whose label may be wrong, the most suspect first."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.files import write_csv

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
    names = [field.name for field in fields(Suspect)]
    write_csv(path, names, ([getattr(one, name) for name in names] for one in suspects))


def read_suspects(run_dir: Path, count: int) -> list[Suspect] | None:
    """Reads the first suspects of a run; None where nobody has asked for them.

    Raises:
        UserError: it is no such table.
    """
    path = run_dir / FOLDER / FILE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [
                Suspect(
                    row["split"],
                    int(row["number"]),
                    row["photo"],
                    row["label"],
                    row["likelier"],
                    float(row["score"]),
                )
                for row in islice(csv.DictReader(file), count)
            ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path} can't be read ({error}). Delete it, or list them again."
        ) from error
