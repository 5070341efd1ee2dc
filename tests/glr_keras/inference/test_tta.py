"""Test-time augmentation: the mean answer over views."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from glr_keras.export import export
from glr_keras.inference.landmark_model import load
from glr_keras.inference.tta import average_logits, make_views, outputs_of_views
from glr_keras.models.abn import ABN
from glr_keras.models.attention import explain, probabilities_of
from glr_keras.models.plain_heads import DropoutHead
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError

PHOTOS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
TTA = ("flip", "flip+crops")


@pytest.fixture(scope="module", params=["abn", "dropout"])
def recognizer(request):
    keras.utils.set_random_seed(0)
    photos = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(6, 8, strides=8)(keras.layers.Rescaling(1 / 64)(photos))
    backbone = keras.Model(photos, maps)
    head = {
        "abn": lambda: ABN(3, attention_channels=5, head_units=()),
        "dropout": lambda: DropoutHead(3, head_units=()),
    }[request.param]()
    recognizer = Recognizer(backbone, head, ["a", "b", "c"])
    recognizer.build(backbone.input_shape)
    return recognizer


def answer(recognizer, photos, tta):
    outputs, maps, _ = outputs_of_views(recognizer, photos, tta)
    return np.asarray(probabilities_of(recognizer.head, outputs)), np.asarray(maps)


def test_one_view_is_what_the_recognizer_says(recognizer):
    expected, expected_maps = explain(recognizer, PHOTOS)
    probabilities, maps = answer(recognizer, PHOTOS, "none")
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(maps, expected_maps)


@pytest.mark.parametrize("tta", TTA)
def test_the_answer_is_the_mean_of_the_views(recognizer, tta):
    each = [explain(recognizer, view)[0] for view in make_views(PHOTOS, tta).numpy()]
    assert len(each) == {"flip": 2, "flip+crops": 12}[tta]
    probabilities, _ = answer(recognizer, PHOTOS, tta)
    np.testing.assert_allclose(probabilities, np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize("tta", TTA)
def test_a_mirrored_photo_has_the_same_answer_and_the_mirrored_map(recognizer, tta):
    probabilities, maps = answer(recognizer, PHOTOS, tta)
    mirrored, mirrored_maps = answer(recognizer, PHOTOS[:, :, ::-1], tta)
    np.testing.assert_allclose(mirrored, probabilities, atol=1e-5)
    np.testing.assert_allclose(mirrored_maps, maps[:, :, ::-1], atol=1e-5)
    assert maps.shape == (3, 4, 4)


def test_crops_are_seven_eighths_of_the_view():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], (32, 32, 3))[None]
    views = make_views(tf.constant(ramp), "flip+crops").numpy()[::2, 0, :, 0, 0]
    np.testing.assert_array_equal(views[0], ramp[0, :, 0, 0])
    assert [round(float(np.mean(view)), 1) for view in views[1:]] == [13.5, 13.5, 17.5, 17.5, 15.5]


def test_averaged_logits_have_the_mean_probabilities_and_the_mean_energy():
    logits = np.random.default_rng(0).normal(0, 3, (4, 5, 3)).astype(np.float32)
    averaged = average_logits(tf.constant(logits))
    np.testing.assert_allclose(
        tf.nn.softmax(averaged), tf.reduce_mean(tf.nn.softmax(logits), 0), atol=1e-6
    )
    energy = tf.reduce_mean(tf.reduce_logsumexp(logits, -1), 0)
    np.testing.assert_allclose(tf.reduce_logsumexp(averaged, -1), energy, atol=1e-5)


@pytest.mark.slow
def test_an_export_answers_with_the_views_it_was_made_with(
    small_run, demo_data, demo_photos, tmp_path
):
    export(small_run, tmp_path / "export", demo_data, "float32", 4, tta="flip")
    exported = load(tmp_path / "export")
    photos = [photo.read_bytes() for photo in demo_photos[:3]]
    expected = load(small_run, tta="flip").explain(photos)
    for found, wanted in zip(exported.explain(photos), expected, strict=True):
        np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
        np.testing.assert_allclose(found.attention_map, wanted.attention_map, atol=1e-5)
    assert exported.tta == load(tmp_path / "export", tta="flip").tta == "flip"
    with pytest.raises(UserError, match=r"answers as it was exported, with tta flip\. Load its"):
        load(tmp_path / "export", tta="flip+crops")


def test_views_that_are_unknown_are_refused(small_run):
    with pytest.raises(UserError, match=r"tta must be one of none, flip, flip\+crops, got 'x'"):
        load(small_run, tta="x")
