"""What a process of a search does, from the records to the figures: alone, chief or worker."""

import dataclasses
import gc
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from glr_keras import config as config_file
from glr_keras.config import FitConfig
from glr_keras.data.records import Records, open_records
from glr_keras.features.extraction import feature_views
from glr_keras.models.backbones import hash_weights
from glr_keras.models.precision import choose_precision
from glr_keras.training.train import load_networks
from tfrecords.common.console import command_line
from tfrecords.common.files import write_atomically
from tuning.analysis import GRID, alpha_effects, confirm_best, print_effects
from tuning.chief import OracleServer, chief_expected, wait_for_chief
from tuning.choice import find_refused
from tuning.display import Progress, write_search_log
from tuning.figures import draw_search
from tuning.oracles import MAX_FAILURES, make_oracle
from tuning.plan import SearchPlan, check_objective
from tuning.store import SearchDir
from tuning.trial import HeadHyperModel, StoredPhotos, reported_metrics
from tuning.trials import CheckpointKeeper, Trial, TrialTable, best_first
from tuning.tuner import SearchTuner

SEARCHED_SPLITS = ("train", "validation")  # the test split is for the winner


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search is given besides its plan; none of it changes a trial.

    Attributes:
        limit: Largest number of trials, None for no limit.
        confirm: Seeds with which the best trials are trained again; 0: none.
        address: "HOST:PORT" of the chief; empty where one process does everything.
    """

    limit: int | None
    confirm: int = 0
    address: str = ""


def run_search(search: SearchDir, plan: SearchPlan, settings: Settings) -> int:
    """Makes the search complete, from wherever it stands; with an address, as its chief.

    Returns:
        The exit code: 1 where no trial has a score, or failures stopped it.

    Raises:
        UserError: no records, an objective that trials do not report, unusable weights, another
            search in its place or one in use.
    """
    records = open_records(Path(plan.base.data_dir))
    check_reported(plan)
    with ExitStack() as stack:
        stack.enter_context(search.locked(plan))
        server = None
        if settings.address:
            server = OracleServer(settings.address)
            stack.callback(server.close)
            print(f"Chief of the search at {settings.address}.", flush=True)
        photos, resolved = open_photos(search, plan, records)
        if reason := find_refused(plan.dimensions, plan.base):
            print(f"Combinations that can't be trained are left out, as here: {reason}")
        oracle = make_oracle(resolved, settings.limit)
        recorder = Recorder(search, resolved, oracle, settings.limit)
        write_search_log(search, resolved)
        hypermodel = HeadHyperModel(resolved.base, photos)
        tuner = SearchTuner(oracle, hypermodel, search, resolved, recorder.progress.report)
        if server:
            server.answer_with(oracle)
            server.wait_for_workers()
        else:
            tuner.search()
        is_stopped = oracle.failures >= MAX_FAILURES
        return finish(search, resolved, photos, recorder.table.trials, settings, is_stopped)


def run_worker(search: SearchDir, plan: SearchPlan, tuner_id: str, address: str) -> int:
    """Runs trials for the chief until none is left.

    Args:
        search: SearchDir.
        plan: SearchPlan.
        tuner_id: Name of the worker, as in KerasTuner's environment variable.
        address: "HOST:PORT" of the chief, as in the others.

    Returns:
        The exit code, 0.

    Raises:
        UserError: the chief does not answer, or as `run_search`.
    """
    records = open_records(Path(plan.base.data_dir))
    if not search.plan.exists():
        print(f"{tuner_id} waits for the chief, which computes the features.", flush=True)
    wait_for_chief(search, address)
    photos, resolved = open_photos(search, plan, records)
    oracle = make_oracle(resolved, None)

    def report(text):
        print(text, flush=True)

    print(f"{tuner_id} (process {os.getpid()}) is ready.", flush=True)
    hypermodel = HeadHyperModel(resolved.base, photos)
    with chief_expected(address):
        SearchTuner(oracle, hypermodel, search, resolved, report).search()
    return 0


def check_reported(plan: SearchPlan) -> None:
    """Finds whether trials with each head of the search report its objective.

    Raises:
        UserError: one does not.
    """
    heads = [dataclasses.replace(plan.base, head=head) for head in plan.ends_of("head")]
    check_objective(plan, set.intersection(*map(reported_metrics, heads)))


def resolve(plan: SearchPlan, precision: str) -> SearchPlan:
    """Returns `plan` with all that its features depend on named, so that every trial has them."""
    base = dataclasses.replace(
        plan.base,
        precision=precision,
        views=plan.base.num_views,
        feature_seed=plan.base.seed_of_features,
    )
    return dataclasses.replace(plan, base=base)


def open_photos(
    search: SearchDir, plan: SearchPlan, records: Records
) -> tuple[StoredPhotos, SearchPlan]:
    """Opens the stored features, computing what is missing; claims the directory for the search.

    Returns:
        photos: StoredPhotos.
        plan: As `resolve` returns it.
    """
    gc.freeze()  # what was imported is no garbage: trials need not search it
    if search.plan.exists():
        search.check(plan)
        precision = search.read_plan()["precision"]
    else:
        precision = choose_precision(plan.base, plan.base.features_path).precision
    resolved = resolve(plan, precision)
    backbone, trunk, _ = load_networks(resolved.base, fall_back=records.is_demo)
    weights_hash = hash_weights(backbone)
    inputs = {
        "records": records.fingerprint,
        "backbone_weights": weights_hash,
        "precision": precision,
    }
    search.check(plan, inputs)
    views = feature_views(records, backbone, weights_hash, resolved.base, SEARCHED_SPLITS)
    search.bind(plan, inputs)
    return StoredPhotos(views, len(records.landmarks), trunk), resolved


class Recorder:
    """Brings table, best config and checkpoints up to date with each trial that ends.

    Args:
        search: SearchDir; what has ended there before counts, too.
        plan: SearchPlan.
        oracle: From `make_oracle`; it calls `record`.
        limit: Largest number of trials, None for no limit.

    Attributes:
        table: TrialTable.
        progress: Progress.
    """

    def __init__(self, search: SearchDir, plan: SearchPlan, oracle, limit: int | None):
        self._search, self._oracle = search, oracle
        self.table, self.progress = TrialTable(search, plan), Progress(plan, limit)
        self._checkpoints = CheckpointKeeper(search, plan)
        for trial in self.table.trials:
            self._checkpoints.add(trial)
        if (best := self.table.best) and best.config:
            write_best(search, best.config)  # a kill may have come between a trial's end and this
        oracle.on_end = self.record

    def record(self, ended) -> None:
        """Takes note of a trial of KerasTuner that has ended, and prints its line."""
        trial = self.table.add(ended.trial_id)
        if self.table.best is trial and trial.config:
            write_best(self._search, trial.config)
        running = self._oracle.ongoing_trials.values()
        parents = [one.hyperparameters.values.get("tuner/trial_id") for one in running]
        self._checkpoints.add(trial, in_use=parents)
        self.progress.add(trial, len(self.table), self.table.best)


def write_best(search: SearchDir, config: FitConfig) -> None:
    """Writes the config that `glr_keras.fit` takes; its run is `best/`, unless named otherwise."""
    config = dataclasses.replace(config, run_dir=str(search.path / "best"))
    write_atomically(search.best_config, config_file.to_json(config))


def finish(
    search: SearchDir,
    plan: SearchPlan,
    photos: StoredPhotos,
    trials: Sequence[Trial],
    settings: Settings,
    is_stopped: bool,
) -> int:
    """Draws the figures, confirms the best if asked to, and prints the result."""
    best = best_first(trials, plan.direction)
    failed = [trial for trial in trials if trial.status == "failed"]
    if is_stopped:
        print(
            f"\n{MAX_FAILURES} trials in a row failed, so the search stopped. The last: "
            f"{failed[-1].reason}.\nThe same command resumes it with other values.",
            file=sys.stderr,
        )
    if not best:
        print(
            f"\nNo trial has a score: {len(failed)} failed. Their reasons are in {search.table}.",
            file=sys.stderr,
        )
        return 1
    draw_search(search, plan, trials)
    print_result(search, plan, trials, best[0])
    if set(plan.names) == GRID:
        print_effects(alpha_effects(best), plan.objective)
    if settings.confirm and not is_stopped:
        has_winner = confirm_best(search, plan, photos, best, settings.confirm)
        return 0 if has_winner else 1
    return 1 if is_stopped else 0


def print_result(search: SearchDir, plan: SearchPlan, trials: Sequence[Trial], best: Trial) -> None:
    """Prints which trial is best and what to type next."""
    parts: dict[str, float] = {}  # of a trial -> seconds in all trials
    for trial in trials:
        for part, seconds in trial.result.get("seconds", {}).items():
            parts[part] = parts.get(part, 0) + seconds
    total = sum(parts.values())
    fractions = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
    completed = sum(trial.status == "completed" for trial in trials)
    print(
        f"\nBest of {completed} trials: {best.trial_id}, {plan.objective} {best.score:.4f}. "
        f"A trial took {total / completed:.1f} s: {fractions}."
    )
    config = ("--config", search.best_config, "--data-dir", plan.base.data_dir)
    print(f"All trials: {search.table}; figures: {search.path / 'figures'}")
    print(f"Train it: {command_line('glr_keras.fit', *config)}")
    print(f"Curves of all: {shlex.join(['tensorboard', '--logdir', str(search.logs)])}")
