"""How sure a mean of a few seeds is."""

import math
from collections.abc import Sequence

import numpy as np

# Student's t for a two-sided 95 % interval, by degrees of freedom; beyond 30 the normal's 1.96 is
# within 4 %. SciPy has it, but is no dependency of this project.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % interval; that is nan for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), math.nan
    freedom = len(values) - 1
    t = T_95[freedom - 1] if freedom <= len(T_95) else 1.96
    return float(np.mean(values)), float(t * np.std(values, ddof=1) / math.sqrt(len(values)))
