"""Names the landmarks of photos: python -m glr_keras.predict RUN_OR_EXPORT photo.jpg folder/ -"""

import argparse
import csv
import json
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from glr_keras.inference.model_dir import check_model
from glr_keras.inference.photo_inputs import check_sources, photo_paths
from tfrecords.common.console import UserError, print_any_path, run_command, start_tensorflow
from tfrecords.common.types import REASONS, one_line

IN_FLIGHT = 3  # batches: while the model computes one, the next is decoded
EXIT_UNREADABLE = 1  # some photos could not be read; the others are done
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells report it
FORMATS = ("table", "csv", "jsonl")


def main() -> None:
    args = parse_arguments()
    check_model(args.model)
    check_sources(args.photos)
    if args.maps:
        _check_maps(args.maps)
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata: the picture is what counts
    print_any_path()
    start_tensorflow()
    from glr_keras.inference.landmark_model import load

    model = load(args.model)
    try:
        photos, failed = predict(model, photo_paths(args.photos, args.follow_links), args)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still held
        sys.exit(EXIT_CLOSED_PIPE)
    if not photos:
        raise UserError("Standard input named no photos. Expected one path per line.")
    if failed:
        print(f"{failed:,} of {photos:,} photos could not be read.", file=sys.stderr)
        sys.exit(EXIT_UNREADABLE)


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.predict",
        description="Names the landmarks of photos: one row per photo on standard output, in the "
        "order given. Exit code 1 where some could not be read.",
    )
    parser.add_argument("model", type=Path, help="a run directory or an export")
    parser.add_argument(
        "photos",
        nargs="+",
        help="photos, folders of photos, lists of paths (*.txt), or - for a list on standard input",
    )
    parser.add_argument(
        "--follow-links", action="store_true", help="follow links that lead out of a folder"
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="landmarks per photo (default: 5)"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="of the rows (default: table)"
    )
    parser.add_argument(
        "--maps", type=Path, metavar="DIR", help="draw where the model looked, one PNG per photo"
    )
    args = parser.parse_args(argv)
    if args.top < 1:
        parser.error(f"--top must be at least 1, got {args.top}")
    return args


def predict(model, paths: Iterable[str], args: argparse.Namespace) -> tuple[int, int]:
    """Prints a row per photo as batches are done; returns how many there were, and failed."""
    top = min(args.top, len(model.landmarks))
    write_row = start_rows(args.format, top, sys.stdout, args.maps is not None)
    photos = failed = 0
    ask = model.try_explain if args.maps else model.try_predict
    batches = predict_batches(lambda batch: ask(batch, top), paths)
    with closing(batches), tqdm(unit=" photos", file=sys.stderr) as bar:
        for batch, outcomes in batches:
            for path, outcome in zip(batch, outcomes, strict=True):
                photos += 1
                is_read = not isinstance(outcome, str)
                failed += not is_read
                drawn = _draw_map(outcome, path, photos, args.maps) if args.maps and is_read else ""
                write_row(path, outcome, drawn)
            sys.stdout.flush()
            bar.update(len(batch))
    return photos, failed


def predict_batches(
    predict_batch: Callable[[list], list], photos: Iterable, batch_size: int = 32
) -> Generator[tuple[list, list], None, None]:
    """Yields batches of photos and their outcomes, in order; a few are computed at once.

    Args:
        predict_batch: From a list of photos to a list of outcomes; called in threads.
        photos: Read as far as is needed, so there may be any number.
        batch_size: Int; the last batch may be smaller.
    """
    photos = iter(photos)
    pool = ThreadPoolExecutor(IN_FLIGHT)
    in_flight: deque[tuple[list, Future]] = deque()
    try:
        while batch := list(islice(photos, batch_size)):
            in_flight.append((batch, pool.submit(predict_batch, batch)))
            if len(in_flight) == IN_FLIGHT:
                batch, outcomes = in_flight.popleft()
                yield batch, outcomes.result()
        for batch, outcomes in in_flight:
            yield batch, outcomes.result()
    finally:
        pool.shutdown(cancel_futures=True)


def start_rows(style: str, top: int, out, has_maps: bool) -> Callable:
    """Returns the function that writes a row; a CSV gets its header.

    Args:
        style: One of `FORMATS`.
        top: Int, landmarks per row.
        out: Text file.
        has_maps: Bool, whether a CSV has a column for the path of a map.

    Returns:
        `write_row(path, outcome, drawn)`: path of the photo, its prediction or a key of
        `types.REASONS`, and the path of its map or "".
    """
    if style == "csv":
        return _start_csv(top, out, has_maps)
    as_text = {"jsonl": _as_json, "table": _as_line}[style]

    def write_row(path, outcome, drawn):
        print(as_text(path, outcome, drawn), file=out)

    return write_row


def _start_csv(top, out, has_maps):
    columns = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("landmark", "score")]
    names = ["photo", *columns, *(["map"] if has_maps else []), "error"]
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()

    def write_row(path, outcome, drawn):
        row = {"photo": path}
        if isinstance(outcome, str):
            row["error"] = outcome
        else:
            row |= zip(columns, chain.from_iterable(_pairs(outcome)), strict=True)
        if drawn:
            row["map"] = drawn
        writer.writerow(row)

    return write_row


def _as_json(path, outcome, drawn):
    if isinstance(outcome, str):
        row = {"photo": path, "error": outcome, "detail": REASONS[outcome]}
    else:
        landmarks = [{"landmark": name, "score": score} for name, score in _pairs(outcome)]
        row = {"photo": path, "landmarks": landmarks, **({"map": drawn} if drawn else {})}
    return json.dumps(row)


def _as_line(path, outcome, _):
    if isinstance(outcome, str):
        text = f"- {outcome}: {REASONS[outcome]}"
    else:
        text = "   ".join(f"{score:6.1%} {name}" for name, score in _pairs(outcome))
    return f"{one_line(path):<40} {text}"


def _pairs(prediction):
    """(name, score) of each landmark; a score with the digits that float32 has."""
    scores = (float(str(score)) for score in prediction.scores)
    return zip(prediction.landmarks, scores, strict=True)


def _check_maps(folder):
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"--maps {folder}: expected a new or empty folder, and there is something already. "
            "Delete it, or name another."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--maps {folder} can't be made ({error.strerror}).") from error


def _draw_map(explanation, path, number, folder):
    from PIL import Image

    from glr_keras.reporting.figures import overlay_heatmap

    picture = overlay_heatmap(explanation.view, explanation.attention_map)
    # A name takes 255 bytes, whatever its script.
    stem = one_line(Path(path).stem).replace("/", "_").encode()[:200].decode(errors="ignore")
    target = folder / f"{number:06d}-{stem}.png"
    temporary = target.with_suffix(".tmp")
    Image.fromarray(picture.round().astype("uint8")).save(temporary, "PNG")
    temporary.replace(target)
    return str(target)


if __name__ == "__main__":
    run_command(main)
