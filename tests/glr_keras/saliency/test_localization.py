"""Maps against boxes, with values that can be worked out by hand."""

import numpy as np
import pytest

from glr_keras.saliency.localization import box_in_view, localization, rank_auc

LEFT_HALF = np.array([0, 0, 1, 0.5])


def test_a_map_on_its_box_is_perfect_and_its_opposite_is_not():
    on_box = localization(np.array([[1.0, 0.0], [1.0, 0.0]]), LEFT_HALF)
    assert (on_box["pointing"], on_box["box_auc"], on_box["box_area"]) == (1, 1, 0.5)
    # A ramp from 1 to 0 between the cell centres at 1/4 and 3/4: 7/16 of its 1/2 lie left.
    assert on_box["inside"] == pytest.approx(7 / 8, abs=1e-4)
    beside = localization(np.array([[0.0, 1.0], [0.0, 1.0]]), LEFT_HALF)
    assert (beside["pointing"], beside["box_auc"]) == (0, 0)
    assert beside["inside"] == pytest.approx(1 / 8, abs=1e-4)


def test_a_map_that_says_nothing_is_at_chance():
    for constant in (0.0, 0.4):
        result = localization(np.full((4, 4), constant), np.array([0, 0, 0.5, 0.5]))
        assert result == {"pointing": 0.25, "inside": 0.25, "box_auc": 0.5, "box_area": 0.25}
    across = localization(np.array([[1.0, 1.0], [0.0, 0.0]]), LEFT_HALF)
    assert (across["pointing"], across["box_auc"]) == (0.5, 0.5)


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [0, 0, 1, 1]])
def test_without_inside_or_outside_there_is_nothing_to_compare(box):
    result = localization(np.array([[1.0, 0.0]]), np.array(box))
    assert result.pop("box_area") == box[2]
    assert np.isnan(list(result.values())).all()


def test_equal_values_count_half():
    assert rank_auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == (0.5 + 1 + 1 + 1) / 4


def test_a_box_is_moved_into_the_square_and_cut():
    square = np.array([0.1, 0.3, 0.9, 0.7])
    moved = box_in_view(np.array([0.3, 0.4, 0.5, 1.0]), square)
    np.testing.assert_allclose(moved, [0.25, 0.25, 0.5, 1])
    np.testing.assert_array_equal(box_in_view(np.zeros(4), square), np.zeros(4))
    np.testing.assert_array_equal(box_in_view(np.array([0, 0, 0.1, 1]), square), np.zeros(4))
