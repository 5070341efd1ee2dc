"""Flags of `glr_keras.explain`, and what can be checked of them before TensorFlow starts."""

import argparse
from pathlib import Path

from glr_keras.inference.model_dir import check_model, check_run, find_saved_model
from glr_keras.inference.photo_inputs import check_sources
from tfrecords.common.console import UserError
from tfrecords.common.files import make_empty_folder, unused_folder
from tfrecords.common.flags import fraction, positive_int
from tfrecords.common.types import SPLITS

COUNT = 24  # photos of a split
MAPS = ("attention", "class", "grad-cam")
DESCRIPTION = (
    "Shows where models looked: a picture per photo, contact sheets and maps.npz. With a flag of "
    "the second group it measures or changes the maps instead. Exit code 1 where photos could not "
    "be read."
)


def parse_arguments(argv=None) -> argparse.Namespace:
    """Parses the command line; what is named is sorted into `models` and `photos`."""
    parser = argparse.ArgumentParser(prog="python -m glr_keras.explain", description=DESCRIPTION)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="MODEL_OR_PHOTO",
        help="a run directory or an export, or several of them to see side by side; then photos, "
        "folders of photos, lists of paths (*.txt) or - (default: photos of --split)",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="new or empty folder for what is written (default: explanations, or explanations-2, "
        "... where that is taken; --measure of a split: the run)",
    )
    add("--follow-links", action="store_true", help="follow links that lead out of a folder")
    add = parser.add_argument_group("photos of a split").add_argument
    add("--split", choices=SPLITS, help="of the records (default: test)")
    add("--count", type=positive_int, metavar="N", help=f"its first photos (default: {COUNT})")
    add("--data-dir", type=Path, metavar="DATA", help="records (default: those of the first run)")
    add = parser.add_argument_group("maps and colours").add_argument
    add("--landmark", metavar="NAME", help="what speaks for this one, not the answer")
    add("--beside", choices=MAPS, action="append", default=[], help="a further map of each photo")
    add("--opacity", type=fraction, default=0.55, metavar="X", help="of colours (default: 0.55)")
    add("--stretched", action="store_true", help="colours span each map's own range, not 0 to 1")
    _add_modes(parser)
    args = parser.parse_args(argv)
    args.models, args.photos = split_inputs(args.inputs)
    return args


def _add_modes(parser):
    group = parser.add_argument_group("instead of pictures (at most one)")
    group.add_argument(
        "--features",
        action="store_true",
        help="of --measure: on the features that the run has stored, not on photos: many times as "
        "fast, without ROAD and blur",
    )
    add = group.add_mutually_exclusive_group().add_argument
    add("--measure", action="store_true", help="how faithful the maps are, with intervals")
    add("--stability", action="store_true", help="how much the maps of several runs agree")
    add("--sanity", action="store_true", help="whether maps change with layers made random")
    add(
        "--keep-box",
        type=_box,
        metavar="Y0,X0,Y1,X1",
        help="put a map in place of the network's: 1 in this box, in [0, 1] of the photo, else 0",
    )
    add("--mask", type=Path, help="the same: white parts of a PNG of the photo's size")
    add("--map", type=Path, help="the same: a .npy of the map's own shape, in [0, 1]")
    group.add_argument(
        "--seconds",
        type=positive_int,
        default=120,
        metavar="N",
        help="of --measure: photos are taken until they are used up (default: 120)",
    )


def split_inputs(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """Splits inputs into models, which are the first and every other folder of one, and photos."""
    models = [Path(inputs[0])]
    photos: list[str] = []
    for one in inputs[1:]:
        path = Path(one)
        is_run = (path / "config.json").is_file()
        if not photos and path.is_dir() and (is_run or find_saved_model(path) is not None):
            models.append(path)
        else:
            photos.append(one)
    return models, photos


def check_arguments(args: argparse.Namespace) -> None:
    """Looks for models, photos and the folder to write to, before any work is done.

    Raises:
        UserError: a model is missing or not complete, photos are missing, flags that don't go
            together, a folder to write to that holds something.
    """
    for path in args.models:
        check_model(path)
    check_sources(args.photos)
    if args.photos and (args.split or args.count or args.data_dir):
        raise UserError("Name either photos or --split, --count and --data-dir, not both.")
    if args.measure or args.sanity or is_intervention(args):
        flag = "--measure" if args.measure else "--sanity" if args.sanity else "Another map"
        if len(args.models) > 1:
            raise UserError(f"{flag} takes one run, got {len(args.models)}.")
        _needs_runs(args.models, flag)
    _check_effects(args)
    if args.features and (not args.measure or args.photos):
        raise UserError("--features goes with --measure, of the photos of a split.")
    if args.stability:
        if len(args.models) < 2:
            raise UserError("--stability compares runs: name two or more, e.g. of other seeds.")
        _needs_runs(args.models, "--stability")
    if is_intervention(args) and not args.photos:
        raise UserError("Another map needs a photo: python -m glr_keras.explain RUN PHOTO ...")
    for path in (args.mask, args.map):
        if path is not None and not path.is_file():
            raise UserError(f"No file {path}.")
    if args.out is not None or not (args.measure or args.stability or args.sanity):
        args.out = args.out or unused_folder(Path("explanations"))
        make_empty_folder(args.out, "--out")


def _check_effects(args):
    """Refuses flags of pictures where there are none, or none of these: whoever gave them waits."""
    named = [flag for flag in ("landmark", "beside") if getattr(args, flag)]
    drawn = [*named, "stretched"] if args.stretched else named
    is_table = args.measure or args.stability or args.sanity
    if found := drawn if is_table else named if is_intervention(args) else []:
        raise UserError(f"--{found[0]} is for pictures of a model's own maps: leave it out.")


def is_intervention(args: argparse.Namespace) -> bool:
    """Returns whether another map is to stand in place of the network's."""
    return any(one is not None for one in (args.keep_box, args.mask, args.map))


def _needs_runs(models, flag):
    for path in models:
        if find_saved_model(path) is not None:
            raise UserError(f"{flag} needs a run; {path} is an export. Name what it was made of.")
        check_run(path)


def _box(text):
    try:
        ymin, xmin, ymax, xmax = box = [float(side) for side in text.split(",")]
    except ValueError:
        box = None
    if box is None or not (0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1):
        raise argparse.ArgumentTypeError(
            f"expected four numbers in [0, 1], y0 < y1 and x0 < x1, as in 0.1,0.2,0.9,0.7; "
            f"got {text}"
        )
    return tuple(box)
