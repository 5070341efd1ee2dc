"""Where the model looked, against what can be computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_models import photos_8_by_12, tiny_recognizer

from glr_keras.models.abn import ABN
from glr_keras.models.attention import explain, grad_cam
from glr_keras.models.landmark_maps import is_of_a_landmark
from glr_keras.models.plain_heads import DropoutHead

CHANNELS = 4


def features(photos=5):
    values = np.random.default_rng(0).normal(size=(photos, 2, 3, CHANNELS))
    return tf.constant(values, tf.float32)


def linear_head(kernel):
    """logits = mean over space @ kernel."""
    kernel = np.asarray(kernel, np.float32)
    head = DropoutHead(kernel.shape[1], head_units=(), pooling="average")
    head.build((None, 2, 3, CHANNELS))
    head.set_weights([kernel, np.zeros(kernel.shape[1])])
    return head


def test_grad_cam_of_a_linear_head_is_the_weighted_sum_of_its_features():
    kernel = np.random.default_rng(2).normal(size=(CHANNELS, 3))
    outputs, maps = grad_cam(linear_head(kernel), features())
    values = features().numpy()
    logits = values.mean((1, 2)) @ kernel
    np.testing.assert_allclose(outputs["perception"], logits, rtol=1e-4, atol=1e-5)
    # The gradient is the predicted landmark's weights over the number of positions, everywhere;
    # the scale drops out.
    assert len(set(logits.argmax(1))) > 1
    evidence = np.stack([v @ kernel[:, c] for v, c in zip(values, logits.argmax(1), strict=True)])
    evidence = np.maximum(evidence, 0)
    expected = evidence / evidence.max((1, 2), keepdims=True)
    assert maps.shape == (5, 2, 3)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_lights_the_one_place_that_speaks_for_the_prediction():
    values = np.zeros((1, 2, 3, CHANNELS), np.float32)
    values[0, 1, 2, 3] = 5
    kernel = np.zeros((CHANNELS, 3))
    kernel[3, 1] = 1
    _, maps = grad_cam(linear_head(kernel), tf.constant(values))
    np.testing.assert_array_equal(maps, [[[0, 0, 0], [0, 0, 1]]])


def test_grad_cam_is_all_0_where_nothing_speaks_for_the_prediction():
    _, maps = grad_cam(linear_head(np.ones((CHANNELS, 2))), -tf.ones((2, 2, 3, CHANNELS)))
    np.testing.assert_array_equal(maps, np.zeros((2, 2, 3)))


@pytest.mark.parametrize("pooling", ["flatten", "average"])
def test_grad_cam_of_a_deep_head_is_in_0_to_1(pooling):
    keras.utils.set_random_seed(0)
    head = DropoutHead(3, head_units=(8, 8), pooling=pooling, normalize=True)
    head.build((None, 2, 3, CHANNELS))
    outputs, maps = grad_cam(head, features(20))
    np.testing.assert_allclose(outputs["perception"], head(features(20))["perception"], rtol=1e-5)
    assert tf.reduce_min(maps) == 0
    highest = tf.reduce_max(maps, (1, 2)).numpy()
    assert (np.isclose(highest, 1) | (highest == 0)).all()
    assert (highest > 0).sum() >= 10


def test_grad_cam_of_a_photo_does_not_depend_on_its_batch():
    head = linear_head(np.random.default_rng(2).normal(size=(CHANNELS, 3)))
    _, together = grad_cam(head, features())
    for row in range(5):
        _, alone = grad_cam(head, features()[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-6)


def check_probabilities(probabilities, recognizer):
    assert (type(probabilities), probabilities.dtype) == (np.ndarray, np.float32)
    branches = recognizer(photos_8_by_12()).values()
    expected = np.mean([keras.ops.softmax(logits) for logits in branches], axis=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    features = recognizer.backbone(photos_8_by_12())
    np.testing.assert_allclose(recognizer.head.probabilities(features), expected, atol=1e-6)


def test_explain_returns_the_attention_branch_s_own_map():
    recognizer = tiny_recognizer(ABN(3, attention_channels=5, head_units=(8,)))
    probabilities, maps = explain(recognizer, photos_8_by_12())
    outputs = recognizer.head.explain(recognizer.backbone(photos_8_by_12()))
    assert (type(maps), maps.shape, maps.dtype) == (np.ndarray, (4, 2, 3), np.float32)
    np.testing.assert_array_equal(maps, outputs["attention_map"][..., 0])
    assert 0 < maps.min() < maps.max() < 1
    check_probabilities(probabilities, recognizer)


def test_explain_returns_grad_cam_for_a_head_without_attention():
    recognizer = tiny_recognizer(DropoutHead(3, head_units=(8,)))
    probabilities, maps = explain(recognizer, photos_8_by_12())
    _, expected = grad_cam(recognizer.head, recognizer.backbone(photos_8_by_12()))
    assert (type(maps), maps.shape, maps.dtype) == (np.ndarray, (4, 2, 3), np.float32)
    np.testing.assert_array_equal(maps, expected)
    check_probabilities(probabilities, recognizer)


def abn(kind):
    head = ABN(3, attention_channels=5, head_units=(8,), attention_map=kind)
    head.build((None, 2, 3, CHANNELS))
    random = np.random.default_rng(3)
    head.set_weights([random.uniform(0.1, 1, one.shape) for one in head.get_weights()])
    return head


def sigmoid_of_batch_norm(values, normalization):
    mean, variance = (np.asarray(one) for one in normalization.non_trainable_variables)
    scaled = (values - mean) / np.sqrt(variance + normalization.epsilon)
    return 1 / (1 + np.exp(-(scaled * np.asarray(normalization.gamma) + normalization.beta)))


def test_a_class_specific_map_weighs_the_class_maps_by_the_attention_branch_s_probabilities():
    head = abn("class-specific")
    outputs, class_maps = head.explain(features()), np.asarray(head.class_maps(features()))
    np.testing.assert_allclose(outputs["attention"], class_maps.mean((1, 2)), rtol=1e-5)
    weights = np.asarray(keras.ops.softmax(outputs["attention"]))
    evidence = (weights[:, None, None] * class_maps).sum(-1, keepdims=True)
    expected = sigmoid_of_batch_norm(evidence, head.map.layers[0])
    np.testing.assert_allclose(outputs["attention_map"], expected, rtol=1e-4)


def test_a_class_specific_map_of_given_landmarks_is_made_of_theirs_alone():
    head, labels = abn("class-specific"), np.array([0, 1, 2, 2, 0])
    found = head.explain(features(), labels)["attention_map"]
    class_maps = np.asarray(head.class_maps(features()))
    evidence = np.stack([one[..., [label]] for one, label in zip(class_maps, labels, strict=True)])
    expected = sigmoid_of_batch_norm(evidence, head.map.layers[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_class_agnostic_map_is_the_papers_convolution_for_whatever_landmark():
    head = abn("class-agnostic")
    convolution, normalization, _ = head.map.layers
    activations = np.asarray(head.activations(features()))
    kernel, bias = convolution.get_weights()
    expected = sigmoid_of_batch_norm(activations @ kernel[0, 0] + bias, normalization)
    for labels in (None, np.zeros(5, int)):
        found = head.explain(features(), labels)["attention_map"]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_prediction_is_not_trained_for_the_sake_of_the_map():
    head = abn("class-specific")
    head.map.layers[0].momentum = 1.0  # so that a step leaves the statistics alone
    with tf.GradientTape() as tape:
        outputs = head.explain(features())
        score = tf.reduce_sum(outputs["attention_map"])
    bias = head.scores.layers[0].bias.value
    # A shift of all class maps shifts the evidence by its weighted mean: the weights add up to 1.
    slope = tape.gradient(score, bias)
    weights = np.asarray(keras.ops.softmax(outputs["attention"]))
    maps = np.asarray(outputs["attention_map"])[..., 0]
    normalization = head.map.layers[0]
    factor = np.asarray(normalization.gamma) / np.sqrt(
        np.asarray(normalization.moving_variance) + normalization.epsilon
    )
    expected = np.einsum("bhw,bk->k", maps * (1 - maps) * factor, weights)
    np.testing.assert_allclose(slope, expected, rtol=1e-3)


def test_which_maps_differ_between_landmarks():
    assert is_of_a_landmark(abn("class-specific"), "attention")
    assert not is_of_a_landmark(abn("class-agnostic"), "attention")
    assert is_of_a_landmark(abn("class-agnostic"), "class")
