"""Flags of `glr_keras.evaluate`, and what can be checked of them before TensorFlow starts."""

import argparse
from pathlib import Path

from glr_keras.inference.model_dir import NO_TTA, TTA, TTA_HELP, check_model, find_saved_model
from glr_keras.inference.photo_inputs import check_sources
from glr_keras.runs.suspects import FILE as SUSPECTS
from tfrecords.common.console import UserError
from tfrecords.common.files import make_empty_folder
from tfrecords.common.flags import proper_fraction

RESULT = "evaluation.json"
FILES = (
    RESULT,
    SUSPECTS,
    "predictions.csv",
    "predictions-1.csv",
    "predictions-2.csv",
    "changed.csv",
)
THRESHOLDS = ("accuracy", "top5_accuracy", "macro_accuracy", "global_average_precision")
DESCRIPTION = (
    "Measures a run or an export on the photos of a split, or in a folder: accuracies with "
    "intervals, calibration, each landmark. Two of them are compared on the same photos. Exit code "
    "1 where photos could not be read, or a number is below --fail-under."
)


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m glr_keras.evaluate", description=DESCRIPTION)
    parser.add_argument(
        "models",
        nargs="+",
        type=Path,
        metavar="RUN_OR_EXPORT",
        help="a run directory or an export, or two of them to compare",
    )
    photos = parser.add_mutually_exclusive_group()
    _add_photos(photos.add_argument)
    _add_other_places(parser)
    photos.add_argument(
        "--suspects",
        action="store_true",
        help="instead, list photos of all splits whose label may be wrong, from stored features",
    )
    _add_answer(parser.add_argument)
    parser.add_argument(
        "--data-dir", type=Path, metavar="DATA", help="records (default: those of the first run)"
    )
    _add_result(parser.add_argument)
    return parser.parse_args(argv)


def _add_photos(add):
    add("--split", choices=("test", "validation"), help="of the records (default: test)")
    add(
        "--photos",
        type=Path,
        metavar="DIR",
        help="a folder per landmark, named as the model names it; photos beside them have no label",
    )


def _add_other_places(parser):
    add = parser.add_argument
    add(
        "--other",
        type=Path,
        metavar="DIR",
        help="photos of none of the landmarks: how many of them scores can reject",
    )
    add_one_of = parser.add_mutually_exclusive_group().add_argument
    add_one_of(
        "--other-train",
        type=Path,
        metavar="DIR",
        help="first train what rejects other places with these photos, which show none of the "
        "landmarks, and keep it in the run",
    )
    add_one_of(
        "--no-other-train",
        action="store_true",
        help="first train it without such photos again, as fit did",
    )
    add("--follow-links", action="store_true", help="follow links that lead out of such a folder")


def _add_answer(add):
    add(
        "--tta",
        choices=TTA,
        default=NO_TTA,
        help=f"{TTA_HELP}; of a run, from photos rather than stored features",
    )
    add(
        "--accept",
        type=proper_fraction,
        metavar="X",
        help="fraction of photos of known landmarks to accept (default: the model's, or 0.95)",
    )


def _add_result(add):
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for what is written (default: RUN/evaluation/SPLIT, or evaluation for an "
        "export, two models or --photos)",
    )
    add(
        "--fail-under",
        nargs="+",
        type=_threshold,
        default=[],
        metavar="NAME=X",
        help="exit with code 1 if a number of the answer is lower, as in accuracy=.9; NAME is "
        f"among {', '.join(THRESHOLDS)}",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Looks for models, photos and the folder to write to, before any work is done.

    Raises:
        UserError: a model is missing or not complete, there are more than two, photos are missing,
            or the folder to write to holds something else.
    """
    if len(args.models) > 2:
        raise UserError(f"Expected one model, or two to compare; got {len(args.models)}.")
    for path in args.models:
        check_model(path)
    folders = {"--photos": args.photos, "--other": args.other, "--other-train": args.other_train}
    for flag, folder in folders.items():
        if folder is not None:
            if not folder.is_dir():
                raise UserError(f"{flag} {folder}: expected a folder, and there is none.")
            check_sources([str(folder)])
    if args.suspects:
        _check_suspects(args)
    if changes_rejection(args):
        _check_training(args)
    if args.photos is None:
        args.split = args.split or "test"
    args.out = args.out or _default_out(args)
    make_empty_folder(args.out, "--out", SUSPECTS if args.suspects else RESULT)


def changes_rejection(args: argparse.Namespace) -> bool:
    """Whether what rejects other places is trained again, with photos of them or without."""
    return args.other_train is not None or args.no_other_train


def _check_suspects(args):
    if len(args.models) > 1 or find_saved_model(args.models[0]) is not None:
        raise UserError("--suspects takes one run, since it reads the features stored for it.")
    without_effect = {
        "--other": args.other,
        "--other-train": args.other_train,
        "--no-other-train": args.no_other_train,
        "--tta": args.tta != NO_TTA,
        "--accept": args.accept,
        "--fail-under": args.fail_under,
    }
    if found := [flag for flag, value in without_effect.items() if value]:
        raise UserError(f"--suspects lists photos and measures nothing: leave out {found[0]}.")


def _check_training(args):
    flag = "--no-other-train" if args.no_other_train else "--other-train"
    (model, *others) = args.models
    if others:
        raise UserError(f"{flag} takes one run, which it changes; got {len(args.models)}.")
    if find_saved_model(model) is not None:
        value = "" if args.no_other_train else f" {args.other_train}"
        raise UserError(
            f"{model} is an export, which keeps what its run had. Train the run, and export it "
            f"again: python -m glr_keras.evaluate RUN {flag}{value}; python -m glr_keras.export "
            "RUN --out DIR"
        )
    if args.tta != NO_TTA:
        raise UserError(f"{flag} does not go with --tta: leave that out.")


def _default_out(args):
    (model, *others) = args.models
    if others or args.photos or find_saved_model(model) is not None:
        return Path("evaluation")
    return model / "evaluation" / ("suspects" if args.suspects else args.split)


def _threshold(text):
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if name not in THRESHOLDS or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"expected NAME=X with X in [0, 1] and NAME among {', '.join(THRESHOLDS)}; got {text}"
        )
    return name, value
