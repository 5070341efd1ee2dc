"""Tables of a report: headline numbers, landmarks, confusions; and which photos are shown."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from glr_keras.reporting.contents import RunContents
from glr_keras.runs.intervals import wilson_interval
from glr_keras.runs.predictions import PhotoResult

MATRIX_LIMIT = 300  # landmarks; a matrix of more can't be read
MAX_CELLS = 6000  # of a matrix that are not empty; each is a button, and more make a page slow
MAX_ROWS = 500  # landmarks in the table
MAX_PAIRS = 20
LEVELS = 4  # shades of a cell
# The first that was measured is the answer: of versions before, the perception branch.
OUTPUTS = {"": "answer", "perception_": "perception branch", "attention_": "attention branch"}


@dataclass(frozen=True)
class Fraction:
    """A fraction of photos.

    Attributes:
        successes: Photos that count.
        trials: All photos.
    """

    successes: int
    trials: int

    @property
    def value(self) -> float:
        return self.successes / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of Wilson's interval, in [0, 1]; all of it where nothing was tried."""
        low, high = wilson_interval(self.successes, self.trials).tolist()
        return low, high


def headline_rows(metrics: dict) -> list[dict]:
    """Returns "split", "output", "accuracy", "top5" and "loss" of the answer and of each branch.

    A branch stands only beside another one: alone, it is the answer.
    """
    rows = []
    for split in ("test", "validation"):
        of_split = metrics[split]
        prefixes = [prefix for prefix in OUTPUTS if f"{prefix}accuracy" in of_split]
        if "" in prefixes and "attention_" not in prefixes:
            prefixes = [""]
        for prefix in prefixes:
            photos = of_split["photos"]
            rows.append(
                {
                    "split": split,
                    "output": OUTPUTS[prefix],
                    "accuracy": Fraction(round(of_split[f"{prefix}accuracy"] * photos), photos),
                    "top5": Fraction(round(of_split[f"{prefix}top5_accuracy"] * photos), photos),
                    "loss": of_split[f"{prefix}loss"],
                }
            )
    return rows


def majority_class(contents: RunContents) -> Fraction | None:
    """Returns the test accuracy of always naming the landmark with most train photos."""
    if not contents.counts:
        return None
    largest = max(contents.counts.values(), key=lambda counts: counts["train"])
    return Fraction(largest["test"], sum(counts["test"] for counts in contents.counts.values()))


def landmark_rows(contents: RunContents, max_rows: int = MAX_ROWS) -> tuple[list[dict], int]:
    """Returns rows of the landmarks, those with most wrong test photos first, and how many more.

    Returns:
        rows: At most `max_rows` dicts of "landmark", "train" (photos, None where unknown), "recall"
            and "precision" (Fractions) and "confused_with" (name, photos), perhaps None.
        left_out: Int.
    """
    shown = Counter(one.landmark for one in contents.results)
    named = Counter(one.predicted for one in contents.results)
    correct = Counter(one.landmark for one in contents.results if one.is_correct)
    if not contents.results:  # unknown, but for their numbers per landmark
        per_landmark = contents.metrics["test"]["per_landmark"].items()
        shown.update({name: one["photos"] for name, one in per_landmark})
        correct.update({n: round(one["accuracy"] * one["photos"]) for n, one in per_landmark})
    wrong: dict[str, Counter] = defaultdict(Counter)
    for one in contents.results:
        if not one.is_correct:
            wrong[one.landmark][one.predicted] += 1
    ordered = sorted(contents.landmarks, key=lambda name: (correct[name] - shown[name], name))
    rows = [
        {
            "landmark": name,
            "train": contents.counts[name]["train"] if name in contents.counts else None,
            "recall": Fraction(correct[name], shown[name]),
            "precision": Fraction(correct[name], named[name]),
            "confused_with": min(wrong[name].items(), key=lambda item: (-item[1], item[0]))
            if wrong[name]
            else None,
        }
        for name in ordered[:max_rows]
    ]
    return rows, len(ordered) - len(rows)


def confused_pairs(contents: RunContents) -> list[tuple[str, str, int]]:
    """Returns (landmark, predicted, photos) of the pairs that were confused most often."""
    results = contents.results
    pairs = Counter((one.landmark, one.predicted) for one in results if not one.is_correct)
    if not results:  # unknown, but for the run's own list
        for one in contents.metrics["test"].get("most_confused", []):
            pairs[one["landmark"], one["predicted"]] = one["photos"]
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, photos) for pair, photos in ordered[:MAX_PAIRS]]


def confusion_rows(contents: RunContents, max_cells: int = MAX_CELLS) -> list[dict] | None:
    """Returns the confusion matrix row by row, without its empty cells.

    Returns:
        Dicts of "landmark" and "cells", each with "gap" (empty cells before it), "column", "photos"
        and "shade" (CSS class), and "gap" after the last one; None where it has too many
        cells, or none.
    """
    column_of = {name: number for number, name in enumerate(contents.landmarks)}
    cells: dict[str, Counter] = defaultdict(Counter)
    for one in contents.results:
        cells[one.landmark][column_of[one.predicted]] += 1
    num_cells = sum(map(len, cells.values()))
    if len(column_of) > MATRIX_LIMIT or not 0 < num_cells <= max_cells:
        return None
    return [
        _confusion_row(name, cells[name], row, len(column_of)) for name, row in column_of.items()
    ]


def _confusion_row(name, counts, row, size):
    total, after, cells = sum(counts.values()), 0, []
    for column, photos in sorted(counts.items()):
        level = math.ceil(photos / total * LEVELS)
        shade = f"{'correct' if column == row else 'wrong'}-{level}"
        cells.append({"gap": column - after, "column": column, "photos": photos, "shade": shade})
        after = column + 1
    return {"landmark": name, "cells": cells, "gap": size - after}


def worst_mistakes(results: Sequence[PhotoResult], count: int) -> list[int]:
    """Returns the numbers of the wrong photos with the highest loss, the worst first."""
    wrong = [number for number, one in enumerate(results) if not one.is_correct]
    return sorted(wrong, key=lambda number: (-results[number].loss, number))[:count]


def least_sure(results: Sequence[PhotoResult], count: int, leave_out: Sequence[int]) -> list[int]:
    """Returns the numbers of the photos with the lowest score, the lowest first."""
    others = set(range(len(results))) - set(leave_out)
    return sorted(others, key=lambda number: (results[number].score, number))[:count]


def photos_of_cells(results: Sequence[PhotoResult], count: int) -> list[int]:
    """Returns the numbers of at most `count` photos that a matrix shows: wrong ones, then correct.

    Among either, each cell has its first photo before any has its second.
    """
    seen: Counter = Counter()
    ordered = []
    for number, one in enumerate(results):
        cell = (one.landmark, one.predicted)
        ordered.append((one.is_correct, seen[cell], number))
        seen[cell] += 1
    return [number for *_, number in sorted(ordered)[:count]]
