"""The report's question, answered by an alpha-beta grid: does the attention branch's loss help?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.intervals import mean_interval
from tuning.trials import Trial

GRID = {"seed", "alpha", "beta"}


@dataclass(frozen=True)
class Effect:
    """What an alpha changes against alpha 0.

    Attributes:
        alpha: Float, above 0.
        difference: Mean over seeds of the difference in score.
        half: Half width of its 95 % interval; nan for a single seed.
        seeds: Int, how many seeds that is.
    """

    alpha: float
    difference: float
    half: float
    seeds: int

    @property
    def verdict(self) -> str:
        if not abs(self.difference) > self.half:
            return "no difference that these seeds can tell"
        return "higher" if self.difference > 0 else "lower"


def alpha_effects(trials: Sequence[Trial]) -> list[Effect]:
    """Compares each alpha with alpha 0, seed by seed.

    Of one seed, the differences at each beta are averaged first: they share their views and first
    weights, so they are no independent measurements. The interval is that of the seeds' means.

    Args:
        trials: Completed trials of an alpha-beta grid.
    """
    scores = {(one.config.seed, one.config.alpha, one.config.beta): one.score for one in trials}
    differences = {}
    for (seed, alpha, beta), score in scores.items():
        if alpha and (seed, 0.0, beta) in scores:
            by_seed = differences.setdefault(alpha, {})
            by_seed.setdefault(seed, []).append(score - scores[seed, 0.0, beta])
    effects = []
    for alpha, by_seed in sorted(differences.items()):
        means = [float(np.mean(one)) for one in by_seed.values()]
        effects.append(Effect(alpha, *mean_interval(means), len(means)))
    return effects


def print_effects(effects: Sequence[Effect], objective: str) -> None:
    """Prints a line for each alpha."""
    print(f"\n{objective} against alpha 0, mean over seeds and betas, with 95 % intervals:")
    for one in effects:
        print(
            f"  alpha {one.alpha:<5g} {one.difference:+.4f} +- {one.half:.4f} "
            f"({one.seeds} seeds): {one.verdict}"
        )
