"""Agreement of maps, and the check by randomised layers."""

import keras
import numpy as np
import pytest

from glr_keras.saliency.stability import (
    randomization_check,
    rank_correlations,
    stability,
    top_overlaps,
)


def test_rank_correlation_sees_order_alone_and_equal_values_share_a_rank():
    one = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert rank_correlations(one, one**3) == pytest.approx([1])
    assert rank_correlations(one, -one) == pytest.approx([-1])
    # Ranks 1 2 3 4 against 1.5 1.5 3.5 3.5.
    assert rank_correlations(one, one // 2.5) == pytest.approx([4 / np.sqrt(5 * 4)])
    assert rank_correlations(one, 0 * one).tolist() == [0]


def test_overlap_of_the_highest_fifth():
    one = np.arange(10.0).reshape(1, 2, 5)
    assert top_overlaps(one, one).tolist() == [1]
    assert top_overlaps(one, np.roll(one, 1)).tolist() == [1 / 3]
    assert top_overlaps(one, -one).tolist() == [0]


def test_stability_is_the_mean_over_pairs():
    one = np.random.default_rng(0).random((4, 5, 5))
    found = stability([one, one, -one])
    assert found["rank_correlation"] == pytest.approx(-1 / 3)
    assert found["lowest_rank_correlation"] == pytest.approx(-1)
    assert found["top_overlap"] == pytest.approx(1 / 3)
    assert found["pairs"] == 3
    assert stability([one, np.kron(one, np.ones((1, 2, 2)))])["rank_correlation"] == (
        pytest.approx(1)
    )
    with pytest.raises(ValueError, match="two models or more, got 1"):
        stability([one])


def test_maps_of_a_randomised_model_change_and_it_is_then_as_before():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ]
    )
    photos = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)

    def maps():
        return model.predict_on_batch(photos)[..., 0]

    trained = maps()
    stages = [(layer.name, layer.weights) for layer in reversed(model.layers)]
    found = randomization_check(stages, maps)
    assert [name for name, _ in found] == [name for name, _ in stages]
    assert all(abs(value) < 0.6 for _, value in found)
    np.testing.assert_array_equal(maps(), trained)
    blind = randomization_check(stages, lambda: photos[..., 0])
    assert [value for _, value in blind] == pytest.approx([1, 1])


def test_weights_come_back_after_a_failure():
    variable = keras.Variable(np.arange(5.0))
    calls = iter([np.zeros((1, 2, 2))])
    with pytest.raises(StopIteration):
        randomization_check([("only", [variable])], lambda: next(calls))
    assert variable.numpy().tolist() == [0, 1, 2, 3, 4]
