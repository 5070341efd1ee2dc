"""Names the landmarks of photos: python -m glr_keras.predict RUN_OR_EXPORT photo.jpg folder/ -"""

import argparse
import csv
import json
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from glr_keras.inference.model_dir import check_model
from glr_keras.inference.photo_inputs import check_sources, photo_paths
from tfrecords.common.console import UserError, run_command, start_tensorflow
from tfrecords.common.types import REASONS, one_line

IN_FLIGHT = 3  # batches: while the model looks at one, the next is decoded
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
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths may be any bytes
    start_tensorflow()
    from glr_keras.inference.landmark_model import load

    model = load(args.model)
    try:
        photos, failed = predict(model, photo_paths(args.photos), args)
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
    ask: Callable[[list], list], photos: Iterable, batch_size: int = 32
) -> Iterator[tuple[list, list]]:
    """Yields batches of photos and what `ask` says of them, in order, a few of them under way.

    Args:
        ask: From a list of photos to a list of outcomes; called in threads.
        photos: Read as far as is needed, so there may be any number.
        batch_size: Int; the last batch may be smaller.
    """
    photos = iter(photos)
    pool = ThreadPoolExecutor(IN_FLIGHT)
    under_way = deque()
    try:
        while batch := list(islice(photos, batch_size)):
            under_way.append((batch, pool.submit(ask, batch)))
            if len(under_way) == IN_FLIGHT:
                batch, outcomes = under_way.popleft()
                yield batch, outcomes.result()
        for batch, outcomes in under_way:
            yield batch, outcomes.result()
    finally:
        pool.shutdown(cancel_futures=True)


def start_rows(style: str, top: int, out, has_maps: bool) -> Callable:
    """Returns what writes a row: `write_row(path, outcome, path_of_map)`; a CSV gets its header."""
    if style == "jsonl":
        return lambda *row: print(json.dumps(_as_json(*row)), file=out)
    if style == "table":
        return lambda *row: print(_as_line(*row), file=out)
    writer = csv.writer(out, lineterminator="\n")
    names = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("landmark", "score")]
    writer.writerow(["photo", *names, *(["map"] if has_maps else []), "error"])

    def write_row(path, outcome, drawn):
        values = [""] * len(names)
        if not isinstance(outcome, str):
            values = [value for pair in _pairs(outcome) for value in pair]
        error = outcome if isinstance(outcome, str) else ""
        writer.writerow([path, *values, *([drawn] if has_maps else []), error])

    return write_row


def _as_json(path, outcome, drawn):
    if isinstance(outcome, str):
        return {"photo": path, "error": outcome, "detail": REASONS[outcome]}
    landmarks = [{"landmark": name, "score": score} for name, score in _pairs(outcome)]
    return {"photo": path, "landmarks": landmarks, **({"map": drawn} if drawn else {})}


def _as_line(path, outcome, _):
    if isinstance(outcome, str):
        said = f"- {outcome}: {REASONS[outcome]}"
    else:
        said = "   ".join(f"{score:6.1%} {name}" for name, score in _pairs(outcome))
    return f"{one_line(path):<40} {said}"


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
