"""What an evaluation leaves: CSV files, one JSON, and the table that is printed."""

import math
import os
from pathlib import Path

from glr_keras.calibration.conformal import is_accepted
from glr_keras.evaluation.answers import NO_LANDMARK, UNLABELLED
from glr_keras.evaluation.comparing import Comparison
from glr_keras.evaluation.evaluating import Evaluation
from glr_keras.evaluation.options import RESULT
from glr_keras.evaluation.sources import ANSWER
from tfrecords.common.files import without_nan, write_csv, write_json
from tfrecords.common.types import REASONS, one_line

SHOWN = 5  # confused pairs, and landmarks, that are printed
LABELS = {NO_LANDMARK: "(none of the landmarks)", UNLABELLED: ""}
COLUMNS = {  # heading -> (key, decimals)
    "top 5": ("top5_accuracy", 3),
    "macro": ("macro_accuracy", 3),
    "GAP": ("global_average_precision", 3),
    "log loss": ("log_loss", 3),
    "ECE": ("calibration_error", 3),
    "scaled log loss": ("scaled_log_loss", 3),
    "scaled ECE": ("scaled_calibration_error", 3),
}


def write_predictions(evaluation: Evaluation, accept: float | None, path: Path) -> None:
    """Writes a row per photo: what it shows, the likeliest landmarks, or why it was not read.

    Args:
        evaluation: What was measured.
        accept: As for `Evaluation.as_dict`.
        path: Of the CSV.
    """
    names = evaluation.evaluated.landmarks
    ranks = range(1, evaluation.answer.best.shape[1] + 1)
    columns = [f"{name}_{rank}" for rank in ranks for name in ("landmark", "score")]
    settings = evaluation.evaluated.rejection
    more = ["p_value", "is_landmark", "error"]

    def rows():
        for answers in (evaluation.answer, evaluation.others):
            if answers is not None:
                yield from _rows(answers, names, settings, evaluation.accept(accept))
        for photo, reason in evaluation.evaluated.failed:
            yield [_as_utf8(photo), "", *[""] * (len(columns) + len(more) - 1), reason]

    write_csv(path, ["photo", "label", *columns, *more], rows())


def _rows(answers, names, settings, accept):
    p = answers.p_values
    if p is not None:
        accepted = is_accepted(p, settings["photos"], accept)
    for row, photo in enumerate(answers.photos):
        pairs = zip(answers.best[row], answers.scores[row], strict=True)
        best = [cell for label, score in pairs for cell in (names[label], _digits(score))]
        known = ["", ""] if p is None else [_digits(p[row]), int(accepted[row])]
        yield [_as_utf8(photo), _name(answers.labels[row], names), *best, *known, ""]


def write_changed(comparison: Comparison, evaluations: list[Evaluation], path: Path) -> None:
    """Writes a row per photo that one of two models alone names correctly."""
    names = evaluations[0].evaluated.landmarks
    header = ["photo", "label", "landmark_1", "score_1", "landmark_2", "score_2", "correct"]

    def rows():
        for row in comparison.changed:
            label, (first, second) = comparison.labels[row], comparison.predicted[:, row]
            scores = [_digits(score) for score in comparison.scores[:, row]]
            answers = [names[first], scores[0], names[second], scores[1]]
            correct = 1 if first == label else 2
            yield [_as_utf8(comparison.photos[row]), names[label], *answers, correct]

    write_csv(path, header, rows())


def write_result(result: dict, folder: Path) -> None:
    """Writes `evaluation.json`."""
    write_json(folder / RESULT, without_nan(result))


def table(result: dict) -> str:
    """Returns the numbers of one model as text: a line per output and baseline.

    Args:
        result: From `Evaluation.as_dict`.
    """
    shown = result["outputs"] | result["baselines"]
    keys = {key for numbers in shown.values() for key in numbers}
    columns = {heading: cell for heading, cell in COLUMNS.items() if cell[0] in keys}
    lines = [["", "accuracy", *columns]]
    for name, numbers in shown.items():
        low, high = numbers["accuracy_interval"]
        cells = [f"{numbers['accuracy']:.1%} ({low:.1%} to {high:.1%})"]
        for key, decimals in columns.values():
            cells.append(f"{numbers[key]:.{decimals}f}" if key in numbers else "-")
        lines.append([name, *cells])
    return aligned(lines)


def report(result: dict) -> str:
    """Returns what is printed of one model with labelled photos."""
    answer, pairs = result["outputs"][ANSWER], result["most_confused"]
    where = f"the split {result['split']}" if result["split"] else "a folder"
    parts = [
        f"{result['model']} on {answer['photos']:,} photos of {where}, from "
        f"{result['computed_from']}:",
        table(result),
    ]
    if (temperature := result["temperatures"][ANSWER]) is not None:
        fitted = "these very photos" if result["split"] == "validation" else "validation photos"
        parts.append(
            f"Scaled: at temperature {temperature:.2f}, fitted to {fitted}; at it, predict answers."
        )
    if pairs:
        shown = [f"{p['landmark']} as {p['predicted']} ({p['photos']})" for p in pairs[:SHOWN]]
        parts.append(f"Most confused: {'; '.join(shown)}")
    known = [one for one in result["landmarks"] if one["photos"]]
    worst = sorted(known, key=lambda one: (one["recall"], one["landmark"]))[:SHOWN]
    shown = [f"{one['landmark']} {one['correct']} of {one['photos']}" for one in worst]
    parts.append(f"Lowest recall: {'; '.join(shown)}")
    if result["slices"]:
        shown = [
            f"{one['slice']} {one['accuracy']:.1%} of {one['photos']:,} "
            f"(others {one['other_accuracy']:.1%})"
            for one in result["slices"]
        ]
        parts.append(f"Slices: {'; '.join(shown)}")
    parts.append(_rejection_table(result["rejection"], result["calibration_photos"]))
    return "\n".join(part for part in parts if part)


def _rejection_table(rejection, calibration_photos):
    """Returns how well scores tell other photos, and how many the model accepts."""
    parts = []
    if scores := rejection["scores"]:
        lines = [["none of the landmarks?", "AUROC", "AUPR", "FP at 95 %"]]
        for name, numbers in scores.items():
            low, high = numbers["auroc_interval"]
            cells = [f"{numbers['auroc']:.3f} ({low:.3f} to {high:.3f})"]
            cells += [f"{numbers[key]:.3f}" for key in ("aupr", "false_positives_at_95")]
            lines.append([name, *cells])
        parts.append(aligned(lines))
        gap = rejection["global_average_precision"]
        parts.append(
            f"With {rejection['other_photos']:,} photos of other places, GAP is {gap:.3f}."
        )
    if "score" in rejection:
        low, high = rejection["accepted_interval"]
        others = ""
        if "other_accepted" in rejection:
            others = f" and {rejection['other_accepted']:.1%} of the other photos"
        parts.append(
            f"Accepted as a known landmark: {rejection['known_accepted']:.1%} of known photos"
            f"{others}, by {rejection['score']}, p-value above {1 - rejection['accept']:.3g}; "
            f"{calibration_photos:,} validation photos make that {low:.1%} to {high:.1%} of known "
            "ones."
        )
        if low == high == 1:
            parts.append("These are too few to reject any photo: lower --accept.")
    return "\n".join(parts)


def report_comparison(comparison: Comparison, evaluations: list[Evaluation]) -> str:
    """Returns what is printed of two models besides their tables."""
    test = comparison.test
    first, second = (str(one.evaluated.path) for one in evaluations)
    return (
        f"Of {len(comparison.photos):,} photos, both name {test['both']:,} correctly and neither "
        f"{test['neither']:,}; {first} alone {test['only_first']:,}, {second} alone "
        f"{test['only_second']:,}. McNemar's exact test: p = {test['p_value']:.3g}."
    )


def report_failed(failed: list[tuple[str, str]]) -> str:
    """Returns a line per photo that could not be read."""
    return "\n".join(f"{one_line(photo):<40} - {why}: {REASONS[why]}" for photo, why in failed)


def aligned(lines: list[list[str]]) -> str:
    """Returns rows of cells as text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in lines
    )


def _name(label, names):
    return names[label] if label >= 0 else LABELS[int(label)]


def _digits(score):
    return "" if math.isnan(score) else f"{score:.6g}"


def _as_utf8(path):
    """A path may be any bytes; what is no UTF-8 is written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
