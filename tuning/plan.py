"""SearchPlan: what a search is, besides its photos."""

import dataclasses
import json
from dataclasses import dataclass

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError
from tuning.space import Dimension

BRANCH_MEASURES = ("accuracy", "top5", "loss")
MIN_HYPERBAND_EPOCHS = 3  # with fewer there is nothing to halve


@dataclass(frozen=True)
class SearchPlan:
    """What a search is, besides its photos: the same plan draws the same trials.

    Attributes:
        base: FitConfig of all trials, but for what is searched.
        dimensions: What is searched.
        tuner: "random", "bayesian", "hyperband" or "grid".
        objective: Name of what is to be best, as Keras reports it.
    """

    base: FitConfig
    dimensions: tuple[Dimension, ...]
    tuner: str
    objective: str

    @property
    def direction(self) -> str:
        """Whether the best objective is its "max" or its "min"."""
        return "min" if self.objective.endswith("_loss") else "max"

    def to_json(self) -> dict:
        base = dataclasses.asdict(self.base)
        space = {one.name: dataclasses.asdict(one) for one in self.dimensions}
        text = json.dumps(
            {"tuner": self.tuner, "objective": self.objective, "space": space, "base": base}
        )
        return json.loads(text)  # tuples as the lists that a file gives back


def check_objective(plan: SearchPlan) -> None:
    """Finds whether every head of the search reports the objective.

    Raises:
        UserError: one does not, or its scale differs from trial to trial.
    """
    heads = _values_of(plan, "head")
    branches = ("perception",) if "dropout" in heads else ("attention", "perception")
    known = [f"val_{branch}_{measure}" for branch in branches for measure in BRANCH_MEASURES]
    if plan.objective == "val_loss":
        raise UserError(
            "val_loss is no objective: alpha and beta scale it, so the smallest weights would win. "
            f"Expected one of {', '.join(known)}."
        )
    if plan.objective not in known:
        raise UserError(
            f"The model does not report {plan.objective!r}. Expected one of {', '.join(known)}."
        )
    if plan.objective.endswith("_loss") and len(_values_of(plan, "label_smoothing")) > 1:
        raise UserError(
            f"label_smoothing changes the scale of {plan.objective}. Take an accuracy as "
            "--objective, or leave label_smoothing out of --space."
        )


def check_hyperband(plan: SearchPlan) -> None:
    """Finds whether Hyperband, where it is chosen, can vary the epochs as it does.

    Raises:
        UserError: it can't.
    """
    if plan.tuner != "hyperband":
        return
    if plan.base.epochs < MIN_HYPERBAND_EPOCHS:
        raise UserError(
            f"--tuner hyperband needs --epochs {MIN_HYPERBAND_EPOCHS} or more, got "
            f"{plan.base.epochs}: it trains many for a few epochs, and the best of them for more."
        )
    if "epochs" in [one.name for one in plan.dimensions]:
        raise UserError("--tuner hyperband chooses the epochs: leave epochs out of --space.")
    longest = max(_values_of(plan, "warmup_epochs"))
    if longest > 1:
        raise UserError(
            f"--tuner hyperband stops some trials after one epoch: warmup_epochs {longest:g} is "
            "longer."
        )


def _values_of(plan, name):
    found = [one for one in plan.dimensions if one.name == name]
    return found[0].ends if found else (getattr(plan.base, name),)
