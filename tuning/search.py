"""Searches alpha, beta and the rest on stored features: python -m tuning.search"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from glr_keras.config import OBJECTIVE, FitConfig, add_flags, from_flags, new_config, read_json
from glr_keras.fit import DEMO_DATA, build_demo, names_demo
from tfrecords.common.console import UserError, command_line, run_command, start_tensorflow
from tfrecords.common.flags import flag_of
from tuning.choice import choose_space
from tuning.plan import SearchPlan, check_hyperband
from tuning.space import DEFAULT, DIMENSIONS, UNTRAINED, alpha_beta_grid
from tuning.store import SearchDir

MAX_TRIALS = 40
GRID_SEEDS = 3
TUNERS = ("random", "bayesian", "hyperband", "grid")
# These decide what a trial cannot: it trains a head on features that are stored already.
NOT_TRIALS = ("run_dir", "live", "finetune_from", "trainable_blocks", "distribute")


def main() -> int:
    args, flags = parse_flags()
    plan, limit = plan_search(args, flags)
    name = Path(plan.base.data_dir).resolve().name
    search = SearchDir(args.out or Path("searches") / name)
    is_demo = names_demo(plan.base.data_dir)
    if args.with_launcher:
        from tuning.parallel import end_with_launcher

        end_with_launcher()
    role, address = find_role()
    is_worker = role and "chief" not in role
    if is_demo and not is_worker:
        search.check(plan)
        build_demo(Path(plan.base.data_dir))
    check_records(Path(plan.base.data_dir))
    if args.workers and not role:
        from tuning.parallel import launch

        return launch(sys.argv[1:], args.workers, search)
    start_tensorflow()
    check_extra()
    from tuning.process import Settings, run_search, run_worker

    if is_worker:
        return run_worker(search, plan, role, address)
    settings = Settings(limit, args.confirm, address)
    return run_search(search, plan, settings)


def find_role() -> tuple[str, str]:
    """Returns the role of this process and the chief's "HOST:PORT"; both empty for one process.

    They are in KerasTuner's environment variables.

    Raises:
        UserError: one of the three is missing.
    """
    names = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
    role, host, port = (os.environ.get(name, "") for name in names)
    if not host:
        return "", ""
    if not (role and port):
        raise UserError(
            "KERASTUNER_ORACLE_IP is set, so that this process is the chief or a worker of a "
            "search: set KERASTUNER_TUNER_ID (chief, worker1, ...) and KERASTUNER_ORACLE_PORT, too."
        )
    return role, f"{host}:{port}"


def parse_flags(argv=None) -> tuple[argparse.Namespace, dict]:
    """Reads the flags: those of a search, and those of `FitConfig` that the user has typed."""
    parser = argparse.ArgumentParser(
        prog="python -m tuning.search",
        description="Searches hyperparameters of a head on stored features: the backbone runs once "
        "for the whole search. Without --data-dir it searches the built-in demo. Typed again, the "
        "same command resumes an interrupted search; so does one with more --max-trials.",
        epilog="What is not searched is set by the flags of glr_keras.fit, which follow here.",
    )
    add = parser.add_argument
    add("--out", type=Path, help="folder of this search (default: searches/ and the data's name)")
    add("--max-trials", type=int, metavar="N", help=f"default: {MAX_TRIALS}")
    add("--tuner", choices=TUNERS, default="random", help="default: random")
    add(
        "--space", metavar="NAMES", help=f"with commas, of {', '.join(DIMENSIONS)} (default: "
        f"{','.join(DEFAULT)}, without those set by a flag)"
    )  # fmt: skip
    add("--space-file", type=Path, metavar="FILE", help="TOML or JSON with other values or ranges")
    add(
        "--alpha-beta-grid",
        action="store_true",
        help="try exactly alpha in {0, .1, .25, .5, 1} with beta in {.5, 1, 2}, --seeds times",
    )
    add("--seeds", type=int, metavar="N", help=f"of the grid ({GRID_SEEDS})")
    add(
        "--objective",
        default=OBJECTIVE,
        help=f"what is to be best, as Keras names it (default: {OBJECTIVE})",
    )
    add(
        "--confirm", type=int, default=0, metavar="N",
        help="train the best trials again with N seeds, and test the winner"
    )  # fmt: skip
    add("--workers", type=int, default=0, metavar="N", help="processes that run trials at once")
    add("--with-launcher", action="store_true", help=argparse.SUPPRESS)
    add("--config", type=Path, help="config.json of a run; flags go over it")
    add_flags(parser, leave_out=NOT_TRIALS)
    args = parser.parse_args(argv)
    fields = {field.name for field in dataclasses.fields(FitConfig)}
    return args, {name: value for name, value in vars(args).items() if name in fields}


def plan_search(args: argparse.Namespace, flags: dict) -> tuple[SearchPlan, int | None]:
    """Returns the plan and the largest number of trials.

    Raises:
        UserError: a flag is out of its range, or flags contradict each other.
    """
    _check_numbers(args)
    base = _base_config(args.config, flags)
    tuner, limit = args.tuner, args.max_trials
    if args.alpha_beta_grid:
        _check_grid(args, base, flags)
        seeds = range(base.seed, base.seed + (args.seeds or GRID_SEEDS))
        dimensions, tuner = alpha_beta_grid(seeds), "grid"
        whole = len(seeds) * len(dimensions[1].values) * len(dimensions[2].values)
        limit = min(limit or whole, whole)
    else:
        if args.seeds is not None:
            raise UserError(
                "--seeds is of --alpha-beta-grid. Elsewhere, name them in --space-file."
            )
        names = None if args.space is None else [name.strip() for name in args.space.split(",")]
        dimensions = choose_space(names, args.space_file, base, flags)
        limit = limit or MAX_TRIALS
    plan = SearchPlan(base, tuple(dimensions), tuner, args.objective)
    check_hyperband(plan)
    plan.unused_seeds(args.confirm)  # are there so many?
    return plan, limit


def check_records(data_dir: Path) -> None:
    """Finds whether records are there, before any process is started for them.

    Raises:
        UserError: they are not.
    """
    if not (data_dir / "manifest.json").exists():
        build = command_line("tfrecords.build", "--photos", "PHOTOS", "--out", data_dir)
        raise UserError(f"No landmark records in {data_dir}. Build them first with: {build}")


def check_extra() -> None:
    """Finds whether what only a search needs is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import keras_tuner  # noqa: F401
        import scipy  # noqa: F401
        import sklearn  # noqa: F401
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'A search needs more packages ({error}): pip install -e ".[tuning]"'
        ) from error


def _check_numbers(args):
    for name, minimum in (("max_trials", 1), ("seeds", 1), ("confirm", 0), ("workers", 0)):
        value = getattr(args, name)
        if value is not None and value < minimum:
            raise UserError(f"{flag_of(name)} must be {minimum} or more, got {value}.")


def _base_config(path, flags):
    data_dir = flags.get("data_dir", "")
    if path:
        base = from_flags(flags, read_json(path))
    else:
        base = new_config(flags, is_demo=names_demo(data_dir))
    if base.is_live or base.distribute != "none":
        raise UserError(
            f"{path}: a search trains on stored features in one process per trial. Leave out live, "
            "finetune_from, trainable_blocks and distribute."
        )
    if base.head == UNTRAINED:
        raise UserError(
            f"--head {UNTRAINED} chooses its one setting, the penalty, by itself: there is nothing "
            "to search. Train it with: python -m glr_keras.fit --preset fast"
        )
    return dataclasses.replace(base, data_dir=base.data_dir or str(DEMO_DATA), run_dir="")


def _check_grid(args, base, flags):
    if args.space is not None or args.space_file or args.tuner != "random":
        raise UserError("--alpha-beta-grid is a space and a tuner: leave out --space and --tuner.")
    if typed := [name for name in ("alpha", "beta") if name in flags]:
        raise UserError(
            f"--alpha-beta-grid searches {' and '.join(typed)}: leave --{typed[0]} out."
        )
    if base.head != "abn":
        raise UserError("--alpha-beta-grid needs --head abn: a dropout head has one loss only.")


def _run():
    if code := main():
        sys.exit(code)


if __name__ == "__main__":
    command = command_line("tuning.search", *sys.argv[1:])
    run_command(_run, after_interrupt=f"Resume it with: {command}")
