"""Adds photos to those of a run and trains it again: python -m glr_keras.add --help"""

import argparse
import dataclasses
import re
import sys
import time
from pathlib import Path

from glr_keras.config import FitConfig, read_json
from glr_keras.data.manifest import fingerprint, read_manifest
from glr_keras.fit import print_result, read_complete
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError, command_line, run_command, start_tensorflow


def main() -> None:
    started = time.monotonic()
    args = parse_args()
    add(args.run, args.photos, args.out, args.run_dir, args.data_dir, started)


def add(
    run_dir: Path,
    photos: Path,
    out: Path | None = None,
    new_run_dir: Path | None = None,
    data_dir: Path | None = None,
    started: float | None = None,
) -> None:
    """Builds records of old and new photos, computes the features of the new ones, and trains.

    Records and run are those that `tfrecords.build` and `glr_keras.fit` give for all the photos
    together. Neither the run nor its records change. Interrupted or killed, the same call resumes.

    Args:
        run_dir: Of the run; its config is that of the new one.
        photos: Folder with a sub-folder of photos per landmark, known or new.
        out: New folder of the records; None for one beside the run's.
        new_run_dir: New folder of the run; None for one beside `run_dir`.
        data_dir: Where the run's records are; None for where they were.
        started: From `time.monotonic()`, for the time that is printed.

    Raises:
        UserError: the run or its records are not there, or the photos contradict these.
    """
    started = time.monotonic() if started is None else started
    base = read_json(run_dir / "config.json")
    data_dir = data_dir or Path(base.data_dir)
    check_base(run_dir, base, data_dir)
    out, new_run_dir = out or next_name(data_dir), new_run_dir or next_name(run_dir)
    config = dataclasses.replace(base, data_dir=str(out), run_dir=str(new_run_dir))
    if not base.features_dir and out.resolve().parent != data_dir.resolve().parent:
        config = dataclasses.replace(config, features_dir=str(data_dir / "features"))
    run = RunDir(new_run_dir)
    run.check(config)  # before any work
    build_records(data_dir, photos, out)
    if run.is_complete:
        print(f"{new_run_dir} is complete already; delete it to train again.")
        metrics = read_complete(run, config)
    else:
        start_tensorflow()
        from glr_keras.training.train import train

        metrics = train(config)
    print_result(new_run_dir, metrics, time.monotonic() - started)
    print(f"Records: {out}. {run_dir} and {data_dir} are as they were.")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.add",
        description="Adds photos to those of a run: builds records of both, computes the features "
        "of the new ones, and trains a new run of the same config. The run itself stays as it is. "
        "Interrupted, the same command resumes.",
    )
    add = parser.add_argument
    add("run", type=Path, help="run directory")
    add(
        "--photos",
        type=Path,
        required=True,
        metavar="DIR",
        help="one sub-folder per landmark, known or new",
    )
    add("--out", type=Path, metavar="DATA", help="records to make (default: beside the run's)")
    add("--run-dir", type=Path, metavar="DIR", help="run to make (default: beside RUN)")
    add(
        "--data-dir",
        type=Path,
        metavar="DATA",
        help="the run's records (default: where they were when it was trained)",
    )
    return parser.parse_args()


def check_base(run_dir: Path, base: FitConfig, data_dir: Path) -> None:
    """Finds whether photos can be added to a run.

    Raises:
        UserError: it was fine-tuned, or its records are not those it was trained on.
    """
    if base.finetune_from:
        raise UserError(
            f"{run_dir} was fine-tuned from {base.finetune_from}. Add the photos to that run, then "
            "fine-tune the new one: "
            + command_line("glr_keras.add", base.finetune_from, "--photos", "DIR")
        )
    manifest = read_manifest(data_dir)
    if manifest is None:
        raise UserError(
            f"No landmark records in {data_dir}, where those of {run_dir} were. Name the folder "
            "that they are in with --data-dir."
        )
    environment = RunDir(run_dir).read_environment()
    if environment and environment.get("records") != fingerprint(manifest):
        raise UserError(
            f"The records in {data_dir} are not those that {run_dir} was trained on. Name these "
            "with --data-dir, or train on the others first: "
            + command_line("glr_keras.fit", "--data-dir", data_dir)
        )


def build_records(data_dir: Path, photos: Path, out: Path) -> None:
    """Builds records of those in `data_dir` and of new photos, unless they are in `out` already."""
    from tfrecords.build import BuildOptions, build, is_built

    options = BuildOptions(photos=photos, add_to=data_dir, out=out)
    if is_built(options):
        print(f"{out} holds these photos already.")
    else:
        build(options)


def next_name(path: Path) -> Path:
    """Returns a name beside `path`: `mine-2` for `mine`, `mine-3` for `mine-2`."""
    path = path if path.name not in ("", "..") else path.resolve()
    if found := re.search(r"(?<=.-)\d+$", path.name):
        return path.with_name(f"{path.name[: found.start()]}{int(found[0]) + 1}")
    return path.with_name(f"{path.name}-2")


if __name__ == "__main__":
    command = command_line("glr_keras.add", *sys.argv[1:])
    run_command(main, after_interrupt=f"It resumes where it stopped with: {command}")
