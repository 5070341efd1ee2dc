"""Names the landmarks of photos: python -m glr_keras.predict RUN_OR_EXPORT photo.jpg folder/ -"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from glr_keras.inference.batching import predict_batches
from glr_keras.inference.map_files import draw_map
from glr_keras.inference.model_dir import check_model
from glr_keras.inference.photo_inputs import check_sources, photo_paths
from glr_keras.inference.rows import FORMATS, start_rows
from tfrecords.common.console import UserError, print_any_path, run_command, start_tensorflow
from tfrecords.common.files import make_empty_folder

EXIT_UNREADABLE = 1  # some photos could not be read; the others are done
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells report it


def main() -> None:
    args = parse_arguments()
    check_model(args.model)
    check_sources(args.photos)
    if args.maps:
        make_empty_folder(args.maps, "--maps")
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
                drawn = draw_map(outcome, path, photos, args.maps) if args.maps and is_read else ""
                write_row(path, outcome, drawn)
            sys.stdout.flush()
            bar.update(len(batch))
    return photos, failed


if __name__ == "__main__":
    run_command(main)
