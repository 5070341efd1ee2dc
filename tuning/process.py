"""What a process of a search does, from the records to the figures: alone, chief or worker."""

import dataclasses
import gc
import os
import sys
import time
from pathlib import Path

from glr_keras import config as config_file
from glr_keras.config import FitConfig
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import feature_views
from glr_keras.models.backbones import hash_weights
from glr_keras.models.precision import choose_precision
from glr_keras.training.train import load_backbone
from tuning.analysis import GRID, alpha_effects, confirm_best, print_effects
from tuning.chief import serve
from tuning.display import Progress, write_search_log
from tuning.figures import draw_search
from tuning.oracles import MOST_FAILURES, make_oracle
from tuning.plan import SearchPlan
from tuning.store import SearchDir
from tuning.trial import HeadHyperModel, StoredPhotos
from tuning.trials import best_first, read_trials, write_table
from tuning.tuner import SearchTuner

SEARCHED = ("train", "validation")  # the test split is for the winner
WAIT = 0.5  # seconds


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search is told besides its plan; none of it changes a trial.

    Attributes:
        limit: Largest number of trials, None for no limit.
        confirm: Seeds with which the best trials are trained again; 0: none.
        is_demo: Whether the photos are the built-in demo's.
        address: "HOST:PORT" of the chief; empty where one process does everything.
    """

    limit: int | None
    confirm: int = 0
    is_demo: bool = False
    address: str = ""


def run_search(search: SearchDir, plan: SearchPlan, settings: Settings) -> int:
    """Makes the search complete, from wherever it stands; with an address, as its chief.

    Returns:
        The exit code: 1 where no trial has a score, or failures stopped it.

    Raises:
        UserError: no records, unusable weights, another search in its place or one in use.
    """
    records = open_records(Path(plan.base.data_dir))
    search.start(plan)
    with search.run.locked():
        photos, plan_settled = open_photos(search, plan, records, settings.is_demo)
        oracle = make_oracle(plan_settled, search, settings.limit)
        progress = Progress(plan_settled, settings.limit)
        oracle.on_end = lambda trial: report_trial(search, plan_settled, progress, trial)
        hypermodel = HeadHyperModel(plan_settled.base, photos)
        write_search_log(search, plan_settled)
        tuner = SearchTuner(oracle, hypermodel, search, plan_settled, progress.tell)
        if settings.address:
            print(f"Chief of the search at {settings.address}.", flush=True)
            serve(oracle, settings.address)
        else:
            tuner.search()
        is_stopped = oracle.failures >= MOST_FAILURES
        return finish(search, plan_settled, photos, records, settings, is_stopped)


def run_worker(search: SearchDir, plan: SearchPlan, tuner_id: str) -> int:
    """Runs trials for the chief that KerasTuner's environment variables name, until none is left.

    Returns:
        The exit code, 0.
    """
    records = open_records(Path(plan.base.data_dir))
    if not search.plan.exists():
        print(f"{tuner_id} waits for the chief, which computes the features.", flush=True)
    while not search.plan.exists():
        time.sleep(WAIT)
    is_demo = search.read_plan()["is_demo"]
    photos, settled = open_photos(search, plan, records, is_demo)
    oracle = make_oracle(settled, search, None)

    def tell(text):
        print(text, flush=True)

    print(f"{tuner_id} (process {os.getpid()}) is ready.", flush=True)
    SearchTuner(oracle, HeadHyperModel(settled.base, photos), search, settled, tell).search()
    return 0


def settle(plan: SearchPlan, precision: str) -> SearchPlan:
    """Returns `plan` with all that its features depend on named, so that every trial has them."""
    base = dataclasses.replace(
        plan.base,
        precision=precision,
        views=plan.base.num_views,
        feature_seed=plan.base.seed_of_features,
    )
    return dataclasses.replace(plan, base=base)


def open_photos(
    search: SearchDir, plan: SearchPlan, records: Records, is_demo: bool
) -> tuple[StoredPhotos, SearchPlan]:
    """Opens the stored features, computing what is missing; claims the directory for the search.

    Returns:
        photos: StoredPhotos.
        plan: As `settle` returns it.
    """
    gc.freeze()  # what was imported is no garbage: trials need not search it
    if search.plan.exists():
        search.check(plan)
        precision = search.read_plan()["precision"]
    else:
        precision = choose_precision(plan.base, records.data_dir / "features").precision
    settled = settle(plan, precision)
    backbone, _ = load_backbone(settled.base, fall_back=is_demo)
    weights_hash = hash_weights(backbone)
    inputs = {
        "records": records.fingerprint,
        "backbone_weights": weights_hash,
        "precision": precision,
        "is_demo": is_demo,
    }
    search.check(plan, inputs)
    views = feature_views(records, backbone, weights_hash, settled.base, SEARCHED)
    search.bind(plan, inputs)
    return StoredPhotos(views, len(records.landmarks)), settled


def report_trial(search: SearchDir, plan: SearchPlan, progress: Progress, trial) -> None:
    """Brings table and best config up to date with a trial that has ended, and prints its line."""
    trials = read_trials(search, plan)
    write_table(search, plan, trials)
    best = best_first(trials, plan.direction)
    if best:
        write_best(search, best[0].config)
    progress.show(trials, next(one for one in trials if one.trial_id == trial.trial_id))


def write_best(search: SearchDir, config: FitConfig) -> None:
    """Writes the config that `glr_keras.fit` takes; its run is `best/`, unless told otherwise."""
    config = dataclasses.replace(config, run_dir=str(search.path / "best"))
    search.run.write_text(search.best_config.name, config_file.to_json(config))


def finish(
    search: SearchDir,
    plan: SearchPlan,
    photos: StoredPhotos,
    records: Records,
    settings: Settings,
    is_stopped: bool,
) -> int:
    """Draws the figures, confirms the best if asked to, and says what came out."""
    trials = read_trials(search, plan)
    best = best_first(trials, plan.direction)
    failed = [trial for trial in trials if trial.status == "failed"]
    if is_stopped:
        reason = failed[-1].result.get("reason", "no reason noted")
        print(
            f"\n{MOST_FAILURES} trials in a row failed, so the search stopped. The last: {reason}."
            "\nThe same command goes on with other values.",
            file=sys.stderr,
        )
    if not best:
        print(
            f"\nNo trial has a score: {len(failed)} failed. Their reasons are in {search.table}.",
            file=sys.stderr,
        )
        return 1
    draw_search(search, plan, trials)
    print_result(search, plan, trials)
    if {dimension.name for dimension in plan.dimensions} == GRID:
        print_effects(alpha_effects(best), plan.objective)
    if settings.confirm and not is_stopped:
        confirm_best(search, plan, photos, best, settings.confirm, settings.is_demo)
    return 1 if is_stopped else 0


def print_result(search: SearchDir, plan: SearchPlan, trials: list) -> None:
    """Says which trial is best and what to type next."""
    best, *_ = best_first(trials, plan.direction)
    parts = {}
    for trial in trials:
        for part, seconds in trial.result.get("seconds", {}).items():
            parts[part] = parts.get(part, 0) + seconds
    total = sum(parts.values())
    shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
    completed = sum(trial.status == "completed" for trial in trials)
    print(
        f"\nBest of {completed} trials: {best.trial_id}, {plan.objective} {best.score:.4f}. "
        f"A trial took {total / completed:.1f} s: {shares}."
    )
    print(f"All trials: {search.table}; figures: {search.path / 'figures'}")
    print(
        f"Train it: python -m glr_keras.fit --config {search.best_config} "
        f"--data-dir {plan.base.data_dir}"
    )
    print(f"Look at all: tensorboard --logdir {search.logs}")
