"""Grids of cells: values that can be worked out by hand."""

import numpy as np
import pytest

from glr_keras.saliency.grids import (
    blur_maps,
    box_to_grid,
    center_map,
    control_maps,
    enlarge,
    fill_cells,
    min_max,
    removal_order,
    to_grid,
)


def test_enlarging_keeps_each_value_at_its_cell_s_centre():
    large = enlarge(np.array([[0.0, 1.0]]), 2, 8)
    # Cell centres lie at 2 and 6 of 8 pixels; pixel i has its centre at i + 1/2.
    expected = np.clip((np.arange(8) + 0.5 - 2) / 4, 0, 1)
    np.testing.assert_allclose(large, [expected, expected])
    assert enlarge(np.arange(12.0).reshape(3, 4), 9, 12)[4, 4] == pytest.approx(5)


def test_a_pixel_has_the_value_of_its_cell():
    filled = fill_cells(np.array([[1, 2], [3, 4]]), 4, 5)
    np.testing.assert_array_equal(filled[:, 0], [1, 1, 3, 3])
    np.testing.assert_array_equal(filled[0], [1, 1, 1, 2, 2])


def test_a_coarser_grid_has_the_mean_of_what_its_cells_cover():
    maps = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_allclose(to_grid(maps, 2, 2), [[[2.5, 4.5], [10.5, 12.5]]])
    # Three cells onto two: the middle one goes half to each.
    np.testing.assert_allclose(to_grid(np.array([[[0.0, 3.0, 9.0]]]), 1, 2), [[[1.0, 7.0]]])
    assert to_grid(maps, 4, 4) is maps
    np.testing.assert_allclose(to_grid(maps, 8, 8)[0], enlarge(maps[0], 8, 8))


def test_a_cell_has_the_fraction_that_a_box_fills():
    filled = box_to_grid((0.25, 0.125, 1, 0.5), 2, 4)
    np.testing.assert_allclose(filled, [[0.25, 0.5, 0, 0], [0.5, 1, 0, 0]])


def test_cells_go_from_the_most_salient_and_equal_ones_as_the_tie_break_says():
    saliency = np.array([[0.0, 2.0], [1.0, 0.0]])
    assert removal_order(saliency, np.array([[3, 0], [1, 2]])).tolist() == [1, 2, 3, 0]
    assert removal_order(saliency, np.array([[2, 0], [1, 3]])).tolist() == [1, 2, 0, 3]


def test_min_max_of_a_map_of_one_value_is_0():
    np.testing.assert_array_equal(min_max(np.array([[2.0, 4.0], [3.0, 2.0]])), [[0, 1], [0.5, 0]])
    np.testing.assert_array_equal(min_max(np.full((2, 2), 7.0)), np.zeros((2, 2)))


def test_the_centre_map_falls_by_a_gaussian_of_a_quarter_of_the_side():
    one = center_map(2, 3)
    assert one[0, 1] == pytest.approx(np.exp(-(0.25**2) / (2 * 0.25**2)))
    np.testing.assert_allclose(one, one[::-1, ::-1])


def test_control_maps_are_repeatable_and_random_ones_differ_by_photo():
    maps = control_maps(3, (2, 4), seed=1)
    np.testing.assert_array_equal(maps["random"], control_maps(3, (2, 4), seed=1)["random"])
    assert maps["random"].shape == maps["centre"].shape == (3, 2, 4)
    assert not np.array_equal(maps["random"][0], maps["random"][1])
    np.testing.assert_array_equal(maps["centre"][0], maps["centre"][2])


def test_a_blurred_map_keeps_a_constant_and_spreads_a_peak():
    np.testing.assert_allclose(blur_maps(np.full((1, 7, 7), 0.3)), 0.3)
    peak = np.zeros((1, 7, 7))
    peak[0, 3, 3] = 1
    blurred = blur_maps(peak)[0]
    assert blurred[3, 3] == blurred.max() < 0.25
    assert blurred[3, 2] / blurred[3, 3] == pytest.approx(np.exp(-0.5), rel=1e-3)
