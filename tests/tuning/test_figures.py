"""The pictures of a search."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from search_trials import BASE, plan_of, trial_of

from tuning.choice import choose_space
from tuning.figures import draw_search
from tuning.space import Dimension
from tuning.store import SearchDir


def random_trials(count):
    rng = np.random.default_rng(0)
    units = [(), (256,), (512, 512)]
    return [
        trial_of(
            number,
            float(rng.uniform(0.7, 0.9)),
            alpha=float(rng.integers(21) / 20),
            beta=float(0.25 * 16 ** rng.uniform()),
            head_units=units[number % 3],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 30])
def test_figures_are_drawn_of_few_trials_and_of_many(tmp_path, count):
    plan = plan_of(choose_space(["alpha", "beta", "head_units"], None, BASE))
    plan = dataclasses.replace(
        plan,
        dimensions=(Dimension("head_units", ((), (256,), (512, 512))), *plan.dimensions[1:]),
    )
    trials = [*random_trials(count), trial_of(count, None, alpha=0.0, beta=1.0, head_units=())]
    search = SearchDir(tmp_path)
    draw_search(search, plan, trials)
    for name in ("alpha_beta", "best_so_far", "parallel_coordinates"):
        with Image.open(search.figure(name)) as picture:
            assert min(picture.size) > 300
            assert len(set(picture.convert("L").get_flattened_data())) > 10


def test_a_figure_of_alpha_and_beta_needs_both(tmp_path):
    plan = plan_of(choose_space(["alpha"], None, BASE))
    draw_search(SearchDir(tmp_path), plan, [trial_of(0, 0.5, alpha=0.5)])
    assert not (tmp_path / "figures" / "alpha_beta.png").exists()
