"""Writes a run as a SavedModel that takes photo files: python -m glr_keras.export RUN --out DIR"""

import argparse
import os
import shutil
from pathlib import Path

from glr_keras.config import read_json
from glr_keras.inference.model_dir import check_run, is_our_export
from tfrecords.common.console import UserError, run_command, start_tensorflow, stderr_held_back

TEST_PHOTOS = 256  # enough to tell accuracies 3 points apart; VGG16 takes two minutes on two cores
MAX_DIFFERENCE = 1e-4  # from Keras: more than rounding is a mistake
MAX_LOSS = 0.005  # of accuracy, that half precision may cost
PRECISIONS = ("float32", "bfloat16", "float16")


def main() -> None:
    args = parse_arguments()
    check_run(args.run)
    check_out(args.out, args.overwrite)
    data_dir = args.data_dir or Path(read_json(args.run / "config.json").data_dir)
    if not (data_dir / "manifest.json").is_file():
        raise UserError(
            f"No records in {data_dir}. An export is tested on its run's test photos: name the "
            "folder of the records that it was trained on with --data-dir."
        )
    start_tensorflow()
    export(args.run, args.out, data_dir, args.precision, args.test_photos)
    print(f"\nTry it:   python -m glr_keras.predict {args.out} PHOTO.jpg")
    print(
        f"Serve it: docker run -p 8501:8501 -v {args.out.resolve()}:/models/landmarks "
        "-e MODEL_NAME=landmarks tensorflow/serving"
    )


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.export",
        description="Writes a complete run as a SavedModel that takes the bytes of photos, needs "
        "nothing of this project and is laid out for TensorFlow Serving; tests what was written "
        "on the run's test photos.",
    )
    parser.add_argument("run", type=Path, help="run directory of glr_keras.fit")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of the weights on disk"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DATA", help="the run's records, if they were moved"
    )
    parser.add_argument(
        "--test-photos",
        type=int,
        default=TEST_PHOTOS,
        metavar="N",
        help=f"on how many test photos it is compared with Keras (default: {TEST_PHOTOS})",
    )
    args = parser.parse_args(argv)
    if args.test_photos < 1:
        parser.error(f"--test-photos must be at least 1, got {args.test_photos}")
    return args


def check_out(out: Path, overwrite: bool) -> None:
    """Finds whether an export can be written to `out`.

    Raises:
        UserError: something is there that may not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not is_our_export(out):
        raise UserError(
            f"{out} exists and is no export, so it is not replaced. Name another --out."
        )
    if not overwrite:
        raise UserError(f"{out} exists. Name another --out, or replace it with --overwrite.")


def export(run: Path, out: Path, data_dir: Path, precision: str, test_photos: int) -> None:
    """Writes, loads, tests and measures an export; only a good one gets its name.

    Raises:
        UserError: it can't be written, or does not say what Keras says.
    """
    from glr_keras.data.records import open_records
    from glr_keras.inference.loading import load_recognizer, short_side_of
    from glr_keras.inference.saved_model import describe, write_export
    from glr_keras.inference.verification import examine

    recognizer = load_recognizer(run)
    records = open_records(data_dir)
    if records.landmarks != recognizer.landmarks:
        raise UserError(
            f"{data_dir} holds other landmarks than {run} has learned. Name the records that it "
            "was trained on with --data-dir."
        )
    description = describe(recognizer, short_side_of(run), precision)
    part = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of one that was killed
        part.mkdir(parents=True)
        with stderr_held_back():  # TensorFlow tells where it writes assets
            write_export(recognizer, description, part)
        findings = examine(part, recognizer, records, precision, test_photos)
        print_findings(findings, description)
        judge(findings, description)
        _put_in_place(part, out)
    except PermissionError as error:
        raise UserError(f"Can't write to {part} ({error.strerror}). Name another --out.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def print_findings(found, description) -> None:
    """Prints what an export takes and how it differs from Keras."""
    one, many = sorted(found.milliseconds)
    megabytes, largest = found.size / 1e6, found.largest_size / 1e6
    print(f"{description.backbone}, {description.head}, weights in {description.precision}")
    print(f"  size on disk   {megabytes:,.1f} MB, {largest:,.1f} MB of it in {found.largest}")
    print(f"  load           {found.load_seconds:.1f} s")
    print(f"  one photo      {found.milliseconds[one]:.1f} ms")
    print(f"  batch of {many}    {found.milliseconds[many]:.1f} ms per photo")
    probabilities, maps = found.rounding
    print(
        f"  against Keras  on {found.photos} test photos: probabilities differ by at most "
        f"{probabilities:.1e}, maps by {maps:.1e}; the same landmark first on {found.same_first}"
    )
    print(f"  accuracy       {found.accuracy:.1%} of these, Keras {found.keras_accuracy:.1%}")


def judge(found, description) -> None:
    """Refuses an export that says something else than Keras.

    Raises:
        UserError: it differs by more than rounding, or half precision costs too much accuracy.
    """
    probabilities, maps = found.error
    # Grad-CAM divides by its own maximum, which may be next to nothing: no measure.
    error = max(probabilities, maps) if description.head == "ABN" else probabilities
    if not error <= MAX_DIFFERENCE:
        raise UserError(
            f"The export differs from Keras by {error:.1e}, more than {MAX_DIFFERENCE:.0e}: it was "
            "not kept. That is a fault of this program or of its TensorFlow; please report it."
        )
    lost = found.keras_accuracy - found.accuracy
    if lost > MAX_LOSS:
        raise UserError(
            f"--precision {description.precision} costs {lost:.1%} of accuracy, more than "
            f"{MAX_LOSS:.1%}: the export was not kept. Export in float32."
        )


def _put_in_place(part, out):
    """Gives `part` its name; an export that has it is deleted only when the new one is there."""
    old = out.with_name(out.name + ".old")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(out, old)
    os.replace(part, out)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    run_command(main)
