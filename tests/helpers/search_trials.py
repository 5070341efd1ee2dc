"""Trials of a search that nothing was trained for, in memory and on disk."""

import csv
import dataclasses
import json

from plain_config import plain_config

from tuning.plan import SearchPlan
from tuning.space import encode
from tuning.trials import Trial

BASE = plain_config()
OBJECTIVE = "val_accuracy"
# Flags of a search whose trials take a second. Two blocks of VGG16 have a hundredth of its weights.
SMALL = (
    *("--weights", "random", "--cut-layer", "block2_pool", "--image-size", "32"),
    *("--batch-size", "6", "--epochs", "2"),
    *("--head-units", "8", "--attention-channels", "4", "--precision", "float32"),
    *("--pooling", "flatten", "--schedule", "constant", "--warmup-epochs", "0", "--views", "0"),
)


def plan_of(dimensions, objective=OBJECTIVE, tuner="random"):
    return SearchPlan(BASE, tuple(dimensions), tuner, objective)


def trial_of(number, score, **values):
    """A trial with these hyperparameters; without a score, a failed one."""
    config = dataclasses.replace(BASE, **values)
    result = {"seconds": {"building": 1.0, "training": 2.0}, "best_epoch": 1, "score": score}
    history = [] if score is None else [{"epoch": 1, OBJECTIVE: score}]
    status = "failed" if score is None else "completed"
    if score is None:
        result = {"reason": "the loss is not a finite number"}
    return Trial(f"{number:04}", status, values, config, score, history, result)


def write_trial(search, trial, status=None):
    """Writes what a trial leaves in the directory of a search."""
    run = search.trial(trial.trial_id)
    (run.path / "checkpoint").mkdir(parents=True)
    stored = {
        "trial_id": trial.trial_id,
        "status": status or trial.status.upper(),
        "hyperparameters": {"values": {name: encode(v) for name, v in trial.values.items()}},
    }
    (run.path / "trial.json").write_text(json.dumps(stored))
    if trial.history:
        run.write_history(trial.history)
    if trial.result:
        run.write_result(trial.result)


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
