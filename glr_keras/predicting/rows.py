"""What `predict` prints: a row per photo, as a table, CSV or JSON lines. No TensorFlow here."""

import csv
import json
from collections.abc import Callable
from itertools import chain

from tfrecords.common.types import REASONS, one_line

FORMATS = ("table", "csv", "jsonl")


def start_rows(
    style: str, top: int, out, has_maps: bool = False, has_boxes: bool = False
) -> Callable:
    """Returns the function that writes a row; a CSV gets its header.

    Args:
        style: One of `FORMATS`.
        top: Int, landmarks per row.
        out: Text file.
        has_maps: Bool, whether a CSV has a column for the path of a map.
        has_boxes: Bool, whether it has one for the part of the photo that the answer is of.

    Returns:
        `write_row(path, outcome, drawn)`: path of the photo, its prediction or a key of
        `types.REASONS`, and the path of its map or "".
    """
    if style == "csv":
        return _start_csv(top, out, ["box"] * has_boxes + ["map"] * has_maps)
    as_text = {"jsonl": _as_json, "table": _as_line}[style]

    def write_row(path, outcome, drawn):
        print(as_text(path, outcome, drawn), file=out)

    return write_row


def landmark_row(path: str, prediction) -> dict:
    """Returns what a JSON line says of a photo that was read."""
    landmarks = [{"landmark": name, "score": score} for name, score in _pairs(prediction)]
    row = {"photo": path, "landmarks": landmarks}
    if prediction.is_landmark is not None:
        p_value = _digits(prediction.p_value)
        row |= {"is_landmark": prediction.is_landmark, "p_value": p_value}
    return row | ({"box": prediction.box} if prediction.box else {})


def _start_csv(top, out, more):
    columns = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("landmark", "score")]
    names = ["photo", *columns, "is_landmark", "p_value", *more, "error"]
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()

    def write_row(path, outcome, drawn):
        row = {"photo": path}
        if isinstance(outcome, str):
            row["error"] = outcome
        else:
            row |= zip(columns, chain.from_iterable(_pairs(outcome)), strict=True)
            if outcome.is_landmark is not None:
                row["is_landmark"] = int(outcome.is_landmark)
                row["p_value"] = _digits(outcome.p_value)
            if outcome.box:
                row["box"] = " ".join(map(str, outcome.box))
        if drawn:
            row["map"] = drawn
        writer.writerow(row)

    return write_row


def _as_json(path, outcome, drawn):
    if isinstance(outcome, str):
        row = {"photo": path, "error": outcome, "detail": REASONS[outcome]}
    else:
        row = landmark_row(path, outcome) | ({"map": drawn} if drawn else {})
    return json.dumps(row)


def _as_line(path, outcome, _):
    if isinstance(outcome, str):
        text = f"- {outcome}: {REASONS[outcome]}"
    else:
        text = "   ".join(f"{score:6.1%} {name}" for name, score in _pairs(outcome))
        if outcome.is_landmark is False:
            likeliest = text.strip()
            text = f"none of these places (p-value {outcome.p_value:.2g}); likeliest: {likeliest}"
        if outcome.box:
            text += f"   in {' '.join(map(str, outcome.box))}"
    return f"{one_line(path):<40} {text}"


def _pairs(prediction):
    """(name, score) of each landmark; a score with the digits that float32 has."""
    scores = (float(str(score)) for score in prediction.scores)
    return zip(prediction.landmarks, scores, strict=True)


def _digits(p_value):
    return float(f"{p_value:.6g}")
