"""Writes one HTML file about runs: python -m glr_keras.report RUN [RUN ...] --out FILE"""

import argparse
import json
import shlex
from pathlib import Path

from glr_keras.inference.model_dir import check_run, data_dir_of
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError, run_command, start_tensorflow
from tfrecords.common.files import show_bytes, write_atomically

MAX_RUNS = 12  # whose photos share one file


def main() -> None:
    args = parse_arguments()
    check_arguments(args)
    start_tensorflow()
    report(args.runs, args.out, args.data_dir, args.photos)
    print(f"Written: {args.out} ({show_bytes(args.out.stat().st_size)}). Open it in a browser.")


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.report",
        description="Writes one self-contained HTML file about complete runs: what was run, "
        "accuracies with intervals, training curves, confusions whose photos open, landmarks, and "
        "the worst and least sure photos with maps. Every run has its own, report.html.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="complete run directory")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the HTML file (default: RUN/report.html of one run, in place of the one there)",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DATA", help="the runs' records, if they were moved"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="DIR",
        help="photos that the records were built from: shows copies under two landmarks",
    )
    return parser.parse_args(argv)


def check_arguments(args: argparse.Namespace) -> None:
    """Finds mistakes before TensorFlow starts; sets `out` where it is the default.

    Raises:
        UserError: a run is not complete, or the file can't be written there.
    """
    if len(args.runs) > MAX_RUNS:
        raise UserError(f"Expected at most {MAX_RUNS} runs in one report, got {len(args.runs)}.")
    for run in args.runs:
        check_run(run)
    if args.out is None:
        if len(args.runs) > 1:
            raise UserError("Several runs have no report yet: name its file with --out FILE.")
        args.out = args.runs[0] / "report.html"
    if args.photos is not None and not args.photos.is_dir():
        raise UserError(f"--photos {args.photos}: expected a folder, and there is none.")
    if args.out.is_dir():
        example = shlex.quote(str(args.out / "report.html"))
        raise UserError(f"{args.out} is a folder. Expected a file, such as --out {example}")
    if not args.out.parent.is_dir():
        command = shlex.join(["mkdir", "-p", str(args.out.parent)])
        raise UserError(f"No folder {args.out.parent} to write to. Make it with: {command}")


def report(
    runs: list[Path], out: Path, data_dir: Path | None = None, photos: Path | None = None
) -> None:
    """Writes the report of complete runs.

    Args:
        runs: Their directories.
        out: The HTML file; one that is there is replaced.
        data_dir: Where their records are, if they were moved.
        photos: Folder of photos that the records were built from, if these are to be shown.

    Raises:
        UserError: a file of a run is damaged.
    """
    from glr_keras.reporting.html import render_report

    text = render_report([_read_run(RunDir(run), data_dir, len(runs), photos) for run in runs])
    write_atomically(out, text)


def _read_run(run, data_dir, num_runs, photos):
    from glr_keras.inference.loading import load_recognizer
    from glr_keras.reporting.run_report import recognize_test_photos, report_run
    from glr_keras.runs.predictions import read_predictions

    try:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{run.metrics} can't be read as JSON: {error}.") from error
    data_dir = data_dir_of(run.path, data_dir)
    records, notes = _open_records(run, data_dir)
    recognizer = load_recognizer(run.path) if records is not None else None
    results = read_predictions(run.path)
    if results is None and records is not None:
        print(f"{run.path} has stored no answers: recognising its test photos.", flush=True)
        results = recognize_test_photos(run, records, recognizer)
    return report_run(
        run, metrics, results or [], data_dir, records, recognizer, notes, num_runs, photos
    )


def _open_records(run, data_dir):
    """Returns the records of a run, None where they are gone, and what the report says then."""
    from glr_keras.data.records import open_records

    try:
        records = open_records(data_dir)
    except UserError as error:
        return None, [
            f"No photos are shown, because the run's records can't be read: {error} If "
            "they were moved, name their folder with --data-dir."
        ]
    environment = run.read_environment()
    if environment and environment.get("records") != records.fingerprint:
        return None, [f"No photos are shown: {data_dir} holds other records than the run's."]
    return records, []


if __name__ == "__main__":
    run_command(main)
