"""Writes a run for other programs: python -m glr_keras.export RUN --out DIR --format litert"""

import argparse
import shlex
from importlib.util import find_spec
from pathlib import Path

from glr_keras.exporting.folders import DESCRIPTION, check_new_folder
from glr_keras.exporting.versions import check_out, delete_version, publish, unfinished_version
from glr_keras.inference.model_dir import (
    NO_TTA,
    TTA,
    TTA_HELP,
    check_run,
    data_dir_of,
    find_saved_model,
)
from tfrecords.common.console import UserError, run_command, start_tensorflow, stderr_held_back
from tfrecords.common.flags import proper_fraction

TEST_PHOTOS = 256  # enough to tell accuracies 3 points apart; VGG16 takes two minutes on two cores
FILE_TEST_PHOTOS = 200  # one of them is half a point
PRECISIONS = ("float32", "bfloat16", "float16")
EXTRAS = {"litert": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnxruntime")}
FORMATS = ("savedmodel", *EXTRAS)


def main() -> None:
    args = parse_arguments()
    check_run(args.run)
    if args.format == "savedmodel":
        check_out(args.out)
    else:
        check_extra(args.format)
        check_new_folder(args.out, args.overwrite)
    data_dir = data_dir_of(args.run, args.data_dir)
    if not (data_dir / "manifest.json").is_file():
        raise UserError(
            f"No records in {data_dir}. An export is tested on its run's test photos: name the "
            "folder of the records that it was trained on with --data-dir."
        )
    start_tensorflow()
    if args.format != "savedmodel":
        write_files(args, data_dir)
        return
    photos = args.test_photos or TEST_PHOTOS
    version = export(
        args.run, args.out, data_dir, args.precision, photos, args.overwrite, args.accept, args.tta
    )
    out = shlex.quote(str(args.out))
    volume = shlex.quote(f"{args.out.resolve()}:/models/landmarks")
    print(f"\nWritten:  {version}")
    print(f"Try it:   python -m glr_keras.predict {out} PHOTO.jpg")
    print(
        f"Serve it: docker run -p 8501:8501 -v {volume} -e MODEL_NAME=landmarks tensorflow/serving"
    )


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.export",
        description="Writes a complete run as a SavedModel that takes the bytes of photos, needs "
        "nothing of this project and is laid out for TensorFlow Serving; or as files for LiteRT "
        "(phones) or ONNX. Verifies what was written on the run's test photos, and writes a "
        "MODEL_CARD.md beside it. Where a SavedModel is there already, the new one becomes its "
        "next version.",
    )
    add = parser.add_argument
    add("run", type=Path, help="run directory of glr_keras.fit")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the versions, or files")
    add("--format", choices=FORMATS, default="savedmodel", help="(default: savedmodel)")
    add(
        "--overwrite",
        action="store_true",
        help="then delete the version that was the latest, or the files that were there",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the weights of a SavedModel; LiteRT gets float32, float16 and int8",
    )
    add("--tta", choices=TTA, default=NO_TTA, help=f"{TTA_HELP}; written into the graph")
    add("--data-dir", type=Path, metavar="DATA", help="the run's records, if they were moved")
    add(
        "--test-photos",
        type=int,
        metavar="N",
        help=f"on how many test photos it is compared with Keras (default: {TEST_PHOTOS}, files "
        f"{FILE_TEST_PHOTOS})",
    )
    add(
        "--accept",
        type=proper_fraction,
        metavar="X",
        help="fraction of photos of known landmarks for which is_landmark is true (default: the "
        "run's, 0.95)",
    )
    args = parser.parse_args(argv)
    if args.test_photos is not None and args.test_photos < 1:
        parser.error(f"--test-photos must be at least 1, got {args.test_photos}")
    if args.format != "savedmodel" and args.tta != NO_TTA:
        parser.error("--tta is for SavedModels; elsewhere, average the answers of your own views")
    if args.format != "savedmodel" and args.precision != "float32":
        parser.error("--precision is for SavedModels; LiteRT gets float32, float16 and int8")
    return args


def export(
    run: Path,
    out: Path,
    data_dir: Path,
    precision: str,
    test_photos: int,
    overwrite: bool = False,
    accept: float | None = None,
    tta: str = NO_TTA,
) -> Path:
    """Writes, loads and verifies a new version of an export; only a good one gets its number.

    Args:
        run: Directory of a complete run.
        out: Folder of the export's versions; created where there is none.
        data_dir: Records that the run was trained on.
        precision: Of the weights on disk, one of `PRECISIONS`.
        test_photos: Int, how many test photos it is compared with Keras on.
        overwrite: Bool, whether the version that was the latest is deleted afterwards.
        accept: Float in (0, 1), of the run's rejector; None: as the run has it.
        tta: Views that its answers are averaged over, one of `model_dir.TTA`.

    Returns:
        Folder of the new version.

    Raises:
        UserError: it can't be written, or its answers are not those of Keras.
    """
    from glr_keras.calibration.rejector import load_rejector
    from glr_keras.exporting.model_card import write_model_card
    from glr_keras.exporting.saved_models import describe, write_export
    from glr_keras.exporting.verification import check_tolerance, print_report, verify_export
    from glr_keras.inference.loading import load_recognizer, short_side_of
    from glr_keras.inference.saved_model import hash_files

    with unfinished_version(out) as folder:
        recognizer = load_recognizer(run)
        records = open_run_records(recognizer, run, data_dir)
        rejector = load_rejector(run, accept)
        description = describe(recognizer, short_side_of(run, data_dir), precision, rejector, tta)
        with stderr_held_back():  # TensorFlow says where it writes assets
            write_export(recognizer, description, folder, rejector)
        report = verify_export(folder, recognizer, records, precision, test_photos)
        table = print_report(report, description)
        check_tolerance(report, description)
        hashes = hash_files(folder)
        write_model_card(folder, run, data_dir, hashes, "savedmodel", table, rejector)
        previous = find_saved_model(out) if overwrite else None
        version = publish(folder)
        if previous is not None:
            delete_version(previous)
    return version


def write_files(args: argparse.Namespace, data_dir: Path) -> None:
    """Writes the files of another runtime, and says where they are."""
    from glr_keras.exporting.files import export_files
    from glr_keras.inference.loading import load_recognizer

    recognizer = load_recognizer(args.run)
    records = open_run_records(recognizer, args.run, data_dir)
    photos = args.test_photos or FILE_TEST_PHOTOS
    export_files(
        recognizer, args.run, args.out, records, args.format, photos, args.overwrite, args.accept
    )
    print(f"Written: {args.out} ({DESCRIPTION} says what goes in and what comes out)")


def check_extra(style: str) -> None:
    """Checks that what a format needs is installed.

    Raises:
        UserError: it is not; the message has the command.
    """
    if missing := [name for name in EXTRAS[style] if find_spec(name) is None]:
        raise UserError(
            f"--format {style} needs {' and '.join(missing)}, which is not installed: "
            f"pip install -e '.[{style}]'"
        )


def open_run_records(recognizer, run: Path, data_dir: Path):
    """Opens the records that a recogniser is tested on.

    Raises:
        UserError: they are those of other landmarks.
    """
    from glr_keras.data.records import open_records

    records = open_records(data_dir)
    if records.landmarks != recognizer.landmarks:
        raise UserError(
            f"{data_dir} holds other landmarks than {run} has learned. Name the records that "
            "it was trained on with --data-dir."
        )
    return records


if __name__ == "__main__":
    run_command(main)
