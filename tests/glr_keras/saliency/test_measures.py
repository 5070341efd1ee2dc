"""Each measure on a map of 2 x 2 cells whose curves are known."""

import numpy as np
import pytest

from glr_keras.saliency.measures import (
    correlation,
    drop_and_gain,
    mean_of_steps,
    measure_curves,
    request_versions,
    step_counts,
)
from glr_keras.saliency.perturbation import PerturbedPhoto

TIES = np.arange(4).reshape(2, 2)
WEIGHTS = np.array([[0.4, 0.1], [0.2, 0.3]])  # of the cells in the planted answer


def answer(photos):
    """Weighted sum of four pixels that are 1 where a cell is there and 0 where it is gone."""
    return (photos[..., 0] * WEIGHTS).sum((1, 2))


def measured(saliency, groups=("deletion", "insertion"), steps=4):
    photo = PerturbedPhoto(np.ones((2, 2, 1)), np.zeros(1), np.random.default_rng(0))
    saliency = np.array(saliency, float)
    numbers = request_versions(photo, saliency, TIES, steps, groups, ["mean"])
    scores = answer(np.concatenate(list(photo.batches(4))))
    curves = {name: scores[rows] for name, rows in numbers.items()}
    return curves, measure_curves(curves, saliency, TIES, steps)


def test_the_true_map_has_the_steepest_curves():
    curves, scores = measured(WEIGHTS)
    np.testing.assert_allclose(curves["deletion_mean"], [1, 0.6, 0.3, 0.1, 0], atol=1e-6)
    np.testing.assert_allclose(curves["insertion_mean"], [0, 0.4, 0.7, 0.9, 1], atol=1e-6)
    assert scores["deletion_mean"] == pytest.approx((0.5 + 0.6 + 0.3 + 0.1) / 4)
    assert scores["insertion_mean"] == pytest.approx((0.4 + 0.7 + 0.9 + 0.5) / 4)
    assert scores["deletion_correlation"] == pytest.approx(1)
    assert scores["insertion_correlation"] == pytest.approx(1)


def test_the_opposite_map_has_the_flattest():
    curves, scores = measured(1 - WEIGHTS)
    np.testing.assert_allclose(curves["deletion_mean"], [1, 0.9, 0.7, 0.4, 0], atol=1e-6)
    assert scores["deletion_mean"] == pytest.approx((0.5 + 0.9 + 0.7 + 0.4) / 4)
    assert scores["insertion_mean"] == pytest.approx((0.1 + 0.3 + 0.6 + 0.5) / 4)
    assert scores["deletion_correlation"] == pytest.approx(-1)


def test_correlations_see_values_where_areas_see_only_ranks():
    _, true = measured(WEIGHTS)
    _, same_ranks = measured(WEIGHTS**8)
    assert same_ranks["deletion_mean"] == true["deletion_mean"]
    assert same_ranks["deletion_correlation"] < 0.9


def test_cells_of_one_step_go_together():
    curves, scores = measured(WEIGHTS, steps=2)
    np.testing.assert_allclose(curves["deletion_mean"], [1, 0.3, 0], atol=1e-6)
    assert scores["deletion_mean"] == pytest.approx((0.5 + 0.3) / 2)
    assert step_counts(49, 12).tolist() == [0, 4, 8, 12, 16, 20, 24, 29, 33, 37, 41, 45, 49]
    assert step_counts(4, 100).tolist() == [0, 1, 2, 3, 4]
    ordered = np.array([9.0, 7.0, 3.0, 1.0, 1.0])
    assert mean_of_steps(ordered, np.array([0, 2, 5])).tolist() == [8, 5 / 3]


def test_road_is_half_of_what_the_least_salient_cells_leave_more_than_the_most_salient():
    curves = {"road_most": np.array([0.5, 0.3, 0.1, 0.1]), "road_least": np.full(4, 0.75)}
    assert measure_curves(curves, WEIGHTS, TIES, 4) == {"road": pytest.approx(0.25)}
    photo = PerturbedPhoto(np.ones((2, 5, 1)), np.zeros(1), np.random.default_rng(0))
    saliency = np.arange(10.0).reshape(2, 5)
    numbers = request_versions(photo, saliency, np.arange(10).reshape(2, 5), 4, ["road"])
    removed = [grid.sum() for _, grid in photo._grids]
    assert [removed[one] for one in numbers["road_most"]] == [2, 4, 6, 8]
    assert photo._grids[numbers["road_most"][0]][1][1].tolist() == [False] * 3 + [True] * 2
    assert photo._grids[numbers["road_least"][0]][1][0].tolist() == [True] * 2 + [False] * 3


@pytest.mark.parametrize(
    ("clean", "multiplied", "expected"),
    [(0.8, 0.6, (0.25, 0, 0)), (0.8, 0.9, (0, 1, 0.5)), (0.5, 0.5, (0, 0, 0))],
)
def test_drop_is_relative_to_the_answer_and_gain_to_what_is_left(clean, multiplied, expected):
    assert tuple(drop_and_gain(clean, multiplied).values()) == pytest.approx(expected)
    assert list(drop_and_gain(1, 0)) == ["average_drop", "increase", "average_gain"]


def test_nothing_that_does_not_vary_correlates():
    assert correlation(np.array([1.0, 2.0]), np.array([5.0, 5.0])) == 0
    assert correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1)
