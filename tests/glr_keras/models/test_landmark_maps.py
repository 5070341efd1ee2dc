"""Maps of a head, against what can be computed by hand."""

import keras
import numpy as np
import pytest

from glr_keras.models.heads import ABN, DropoutHead
from glr_keras.models.landmark_maps import landmark_maps, map_names
from glr_keras.saliency.grids import blur_maps

CHANNELS = 4


def features(photos=5):
    return np.random.default_rng(0).normal(size=(photos, 2, 3, CHANNELS)).astype(np.float32)


def abn():
    keras.utils.set_random_seed(3)
    head = ABN(3, attention_channels=8, head_units=(), pooling="average")
    head.build((None, 2, 3, CHANNELS))
    return head


def linear_head():
    head = DropoutHead(3, head_units=(), pooling="average")
    head.build((None, 2, 3, CHANNELS))
    kernel = np.random.default_rng(1).normal(size=(CHANNELS, 3)).astype(np.float32)
    head.set_weights([kernel, np.zeros(3)])
    return head, kernel


def scaled(maps):
    maps = np.maximum(maps, 0)
    highest = maps.max((1, 2), keepdims=True)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)


def test_a_head_shows_its_own_map_first():
    assert map_names(abn()) == ("attention", "class", "grad-cam")
    assert map_names(linear_head()[0]) == ("grad-cam",)


@pytest.mark.parametrize("labels", [None, [0, 1, 2, 0, 1]])
def test_the_class_map_is_that_of_the_answer_or_of_the_landmark_asked_for(labels):
    head = abn()
    about = np.asarray(head.probabilities(features())).argmax(1) if labels is None else labels
    expected = scaled(np.asarray(head.class_maps(features()))[np.arange(5), :, :, about])
    maps = landmark_maps(head, features(), "class", labels)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("labels", [None, [0, 1, 2, 0, 1]])
def test_grad_cam_of_a_linear_head_is_the_weighted_sum_of_its_features(labels):
    head, kernel = linear_head()
    about = (features().mean((1, 2)) @ kernel).argmax(1) if labels is None else labels
    evidence = np.einsum("nhwc,cn->nhw", features(), kernel[:, about])
    maps = landmark_maps(head, features(), "grad-cam", labels)
    np.testing.assert_allclose(maps, scaled(evidence), rtol=1e-4, atol=1e-5)
    blurred = landmark_maps(head, features(), "blurred grad-cam", labels)
    np.testing.assert_allclose(blurred, blur_maps(maps), rtol=1e-5)


def test_the_attention_map_is_the_one_that_the_network_multiplies_by():
    head = abn()
    maps = landmark_maps(head, features(40), "attention")
    expected = np.asarray(head.explain(features(40))["attention_map"])[..., 0]
    assert maps.shape == (40, 2, 3)
    np.testing.assert_allclose(maps, expected, rtol=1e-5)
