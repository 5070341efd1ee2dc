"""SearchPlan: what a search is, besides its photos; which plans make no sense."""

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError
from tuning.space import Dimension

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
        return "min" if self.objective.endswith(("_loss", "_cross_entropy")) else "max"

    @property
    def names(self) -> list[str]:
        """Names of the dimensions."""
        return [dimension.name for dimension in self.dimensions]

    def ends_of(self, name: str) -> tuple:
        """Returns the values, or both ends, that a field of `FitConfig` can have in a trial."""
        found = [one for one in self.dimensions if one.name == name]
        return found[0].ends if found else (getattr(self.base, name),)

    def unused_seeds(self, count: int) -> list[int]:
        """Returns seeds above all that trials can have, so that nothing was chosen with them.

        Raises:
            UserError: the last one is above the largest seed there is.
        """
        first = max(self.ends_of("seed")) + 1
        seeds = list(range(first, first + count))
        if seeds:
            dataclasses.replace(self.base, seed=seeds[-1])
        return seeds

    def to_json(self) -> dict:
        base = dataclasses.asdict(self.base)
        space = {one.name: dataclasses.asdict(one) for one in self.dimensions}
        text = json.dumps(
            {"tuner": self.tuner, "objective": self.objective, "space": space, "base": base}
        )
        return json.loads(text)  # tuples as the lists that a file gives back


def check_objective(plan: SearchPlan, reported: Collection[str]) -> None:
    """Finds whether the objective of `plan` can rank its trials.

    Args:
        plan: SearchPlan.
        reported: Names of what every trial reports of the validation photos.

    Raises:
        UserError: it is not reported, or its scale differs from trial to trial.
    """
    known = sorted(set(reported) - {"val_loss"})
    if plan.objective == "val_loss":
        raise UserError(
            "val_loss is no objective: alpha and beta scale it, so the smallest weights would win. "
            f"Expected one of {', '.join(known)}."
        )
    if plan.objective not in known:
        raise UserError(
            f"The model does not report {plan.objective!r}. Expected one of {', '.join(known)}."
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
    if "epochs" in plan.names:
        raise UserError("--tuner hyperband chooses the epochs: leave epochs out of --space.")
    longest = max(plan.ends_of("warmup_epochs"))
    if longest > 1:
        raise UserError(
            f"--tuner hyperband stops some trials after one epoch: warmup_epochs {longest:g} is "
            "longer."
        )
