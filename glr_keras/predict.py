"""Names the landmarks of photos: python -m glr_keras.predict RUN_OR_EXPORT photo.jpg folder/ -"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from glr_keras.inference.batching import predict_batches
from glr_keras.inference.model_dir import NO_TTA, TTA, TTA_HELP, check_model
from glr_keras.inference.photo_inputs import check_sources, photo_paths
from glr_keras.predicting.answers import AnswerWriter
from glr_keras.predicting.locations import locations_of
from glr_keras.predicting.rows import FORMATS
from glr_keras.predicting.sidecars import STYLES
from glr_keras.predicting.watching import new_files
from tfrecords.common.console import UserError, run_command, start_tensorflow
from tfrecords.common.files import make_empty_folder
from tfrecords.common.flags import proper_fraction

EXIT_INCOMPLETE = 1  # some photos could not be read; the others are done


def main() -> None:
    args = parse_arguments()
    check_model(args.model)
    check_sources(args.photos)
    new = new_files(args.watch, args.follow_links) if args.watch else None
    locations = locations_of(args.model, args.landmarks) if args.sidecar else {}
    if args.maps:
        make_empty_folder(args.maps, "--maps")
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata: the picture is what counts
    start_tensorflow()
    from glr_keras.inference.landmark_model import load

    model = load(args.model, args.accept, args.tta)
    writer = AnswerWriter(args, min(args.top, len(model.landmarks)), locations)
    predict(model, photo_paths(args.photos, args.follow_links), writer, args)
    if new is not None:
        watch(model, new, writer, args)
    if not writer.photos and not args.watch:
        raise UserError("Standard input named no photos. Expected one path per line.")
    writer.print_summary()
    if writer.failed or writer.unwritten:
        sys.exit(EXIT_INCOMPLETE)


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.predict",
        description="Names the landmarks of photos: one row per photo on standard output, in the "
        "order given. Exit code 1 where some could not be read.",
    )
    _add_photos(parser.add_argument)
    _add_answer(parser.add_argument)
    _add_rows_and_files(parser.add_argument)
    args = parser.parse_args(argv)
    _check(args, parser.error)
    return args


def _add_photos(add):
    add("model", type=Path, help="a run directory or an export")
    add(
        "photos",
        nargs="*",
        help="photos, videos, folders of them, lists of paths (*.txt), or - for a list on standard "
        "input",
    )
    add("--follow-links", action="store_true", help="follow links that lead out of a folder")
    add("--watch", type=Path, metavar="DIR", help="then wait for new photos in DIR, until Ctrl-C")


def _add_answer(add):
    add("--top", type=int, default=5, metavar="N", help="landmarks per photo (default: 5)")
    add("--tta", choices=TTA, default=NO_TTA, help=TTA_HELP)
    add(
        "--accept",
        type=proper_fraction,
        metavar="X",
        help="fraction of photos of known landmarks to accept as such (default: the model's, "
        "mostly 0.95); other photos show none of these places",
    )
    add(
        "--multi-crop",
        action="store_true",
        help="search a photo for landmarks that fill a part of it; takes about 15 times as long",
    )
    add(
        "--every",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two frames of a video (default: 1)",
    )


def _add_rows_and_files(add):
    add("--format", choices=FORMATS, default="table", help="of the rows (default: table)")
    add("--maps", type=Path, metavar="DIR", help="draw where the model looked, one PNG per photo")
    add(
        "--sidecar",
        choices=STYLES,
        help="write a file beside each photo, too: PHOTO.json or PHOTO.xmp; those of other "
        "programs stay as they are",
    )
    add(
        "--landmarks",
        type=Path,
        metavar="CSV",
        help="name, latitude and longitude of landmarks, for sidecars (default: landmarks.csv of "
        "the run's records, if it has these columns)",
    )


def _check(args, refuse):
    if not args.photos and not args.watch:
        refuse("the following arguments are required: photos, or --watch DIR")
    if args.top < 1:
        refuse(f"--top must be at least 1, got {args.top}")
    if not args.every > 0:
        refuse(f"--every must be above 0, got {args.every:g}")
    if args.landmarks and not args.sidecar:
        refuse("--landmarks is for sidecars; add --sidecar json or xmp")


def predict(model, paths: Iterable[str], writer: AnswerWriter, args: argparse.Namespace) -> None:
    """Writes the answer for each photo as batches are done."""
    from glr_keras.predicting.crops import RESOLUTION
    from glr_keras.predicting.videos import with_frames

    short_side = model.short_side * (RESOLUTION if args.multi_crop else 1)
    photos = with_frames(paths, args.every, short_side)
    batches = predict_batches(batch_predictor(model, writer.top, args), photos)
    with closing(batches), tqdm(unit=" photos", file=sys.stderr, disable=bool(args.watch)) as bar:
        for batch, outcomes in batches:
            for photo, outcome in zip(batch, outcomes, strict=True):
                writer.write(photo, outcome)
            sys.stdout.flush()
            bar.update(len(batch))


def batch_predictor(model, top: int, args: argparse.Namespace) -> Callable[[list], list]:
    """Returns the function from a batch of paths and frames to their outcomes."""
    from glr_keras.predicting.crops import best_crops
    from glr_keras.predicting.videos import Frame

    def ask(photos):
        return (model.try_explain if args.maps else model.try_predict)(photos, top)

    def predict_batch(batch):
        photos = [photo.pixels if isinstance(photo, Frame) else photo for photo in batch]
        if not args.multi_crop:
            return ask(photos)
        return best_crops(ask, photos, model.short_side, model.framing)

    return predict_batch


def watch(model, new: Iterable[list[str]], writer: AnswerWriter, args: argparse.Namespace) -> None:
    """Predicts what comes into the folder, until Ctrl-C."""
    started, before = time.monotonic(), writer.photos
    print(f"Waiting for new photos in {args.watch}. Ctrl-C ends it.", file=sys.stderr)
    try:
        for paths in new:
            predict(model, paths, writer, args)
    except KeyboardInterrupt:
        minutes = (time.monotonic() - started) / 60
        count = writer.photos - before
        noun = "photo" if count == 1 else "photos"
        print(
            f"\nWatched {args.watch}: {count:,} {noun} in {minutes:.1f} minutes.", file=sys.stderr
        )


if __name__ == "__main__":
    run_command(main)
