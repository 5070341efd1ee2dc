"""The functions of an export, asked of a run."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from photo_files import encode
from PIL import Image

from glr_keras.data.views import eval_view
from glr_keras.decoding.decoder import bitmap_decoder, view_decoder
from glr_keras.inference.endpoints import build_endpoints
from glr_keras.inference.photo_inputs import read_photo
from glr_keras.models.abn import ABN
from glr_keras.models.attention import explain
from glr_keras.models.plain_heads import DropoutHead
from glr_keras.models.recognizer import Recognizer

NAMES = ["arch", "bridge", "château", "塔", "dome", "e", "f"]


def recognizer_with(head, size=32):
    keras.utils.set_random_seed(0)
    photos = keras.Input((size, size, 3))
    maps = keras.layers.Conv2D(6, 8, strides=8)(keras.layers.Rescaling(1 / 64)(photos))
    backbone = keras.Model(photos, maps)
    backbone.trainable = False
    recognizer = Recognizer(backbone, head, NAMES[: head.settings["num_landmarks"]])
    recognizer.build(backbone.input_shape)
    return recognizer


def picture(seed, width=90, height=70):
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height)))


def png(values):
    return encode(Image.fromarray(values), "PNG")


@pytest.fixture(scope="module", params=["abn", "dropout"])
def recognizer(request):
    if request.param == "abn":
        return recognizer_with(ABN(7, attention_channels=5, head_units=(8,)))
    return recognizer_with(DropoutHead(7, head_units=(8,)))


@pytest.fixture(scope="module")
def endpoints(recognizer):
    """Of the ABN as in an export, of the other head as of a run: to prepare each takes seconds."""
    return build_endpoints(recognizer, short_side=64, of_bitmaps=not is_exported(recognizer))


def is_exported(recognizer):
    return isinstance(recognizer.head, ABN)


@pytest.fixture(scope="module")
def as_file(recognizer):
    """Encodes a picture as these endpoints take it."""
    return png if is_exported(recognizer) else lambda values: read_photo(values, 64)


PICTURES = [picture(0), picture(1, 60, 45), picture(2, 33, 200)]


@pytest.fixture(scope="module")
def files(as_file):
    return tf.constant([as_file(values) for values in PICTURES[:2]])


def test_the_answer_is_what_the_model_says_of_the_views(recognizer, endpoints, files):
    answer = endpoints["serving_default"](files[1:])
    view = eval_view(tf.constant(PICTURES[1]), 32, "whole")
    probabilities, maps = explain(recognizer, view[None])
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(answer["attention_map"], maps, atol=1e-5)
    order = np.argsort(-probabilities[0])[:5]
    np.testing.assert_allclose(answer["scores"][0], probabilities[0][order], atol=1e-6)
    assert [name.decode() for name in answer["landmarks"][0].numpy()] == [NAMES[i] for i in order]


def test_scores_are_the_answer_without_the_map(endpoints, files):
    answer, scores = (endpoints[name](files) for name in ("serving_default", "scores"))
    assert set(answer) - set(scores) == {"attention_map"}
    np.testing.assert_array_equal(scores["landmarks"], answer["landmarks"])
    for name in ("probabilities", "scores"):
        np.testing.assert_allclose(scores[name], answer[name], atol=1e-6)


def test_a_photo_gets_its_answer_alone_and_in_a_batch(endpoints, files):
    together = endpoints["serving_default"](files)
    for row in range(2):
        alone = endpoints["serving_default"](files[row : row + 1])
        for name in ("probabilities", "scores", "attention_map"):
            np.testing.assert_allclose(alone[name][0], together[name][row], atol=1e-5)


@pytest.mark.parametrize("number", range(3))
def test_pixels_give_what_the_file_gives(endpoints, as_file, number):
    photos = PICTURES[number][None].astype(np.float32)
    from_pixels = endpoints["pixels"](photos)
    from_file = endpoints["serving_default"](tf.constant([as_file(PICTURES[number])]))
    for name, values in from_file.items():
        np.testing.assert_array_equal(from_pixels[name], values, name)


def test_the_embedding_is_the_average_of_the_features(recognizer, endpoints, files):
    embedding = endpoints["features"](files[1:])["embedding"]
    features = recognizer.backbone(eval_view(tf.constant(PICTURES[1]), 32, "whole")[None])
    np.testing.assert_allclose(embedding, np.mean(features, (1, 2)), atol=1e-5)


def test_names_shapes_and_types_are_those_documented(endpoints, files):
    answer = endpoints["serving_default"](files)
    assert {name: (values.shape, values.dtype.name) for name, values in answer.items()} == {
        "probabilities": ((2, 7), "float32"),
        "landmarks": ((2, 5), "string"),
        "scores": ((2, 5), "float32"),
        "attention_map": ((2, 4, 4), "float32"),
    }


@pytest.mark.parametrize("endpoint", ["serving_default", "scores", "features", "pixels"])
def test_an_empty_batch_gets_empty_arrays(endpoints, files, endpoint):
    shapes = {
        "probabilities": (0, 7),
        "landmarks": (0, 5),
        "scores": (0, 5),
        "attention_map": (0, 4, 4),
        "embedding": (0, endpoints["features"](files)["embedding"].shape[1]),
    }
    empty = tf.zeros([0, 50, 60, 3]) if endpoint == "pixels" else tf.constant([], tf.string)
    answer = endpoints[endpoint](empty)
    assert {name: values.shape for name, values in answer.items()} == {
        name: shapes[name] for name in answer
    }


def test_the_graph_that_decodes_files_is_traced_once(recognizer, endpoints, files):
    decoder = (
        view_decoder(32, 64, "whole") if is_exported(recognizer) else bitmap_decoder(32, "whole")
    )
    for name in ("serving_default", "scores", "features"):
        endpoints[name](files)
    assert decoder.experimental_get_tracing_count() == 1


def test_fewer_than_five_landmarks_are_all_named():
    recognizer = recognizer_with(DropoutHead(2, head_units=()))
    endpoints = build_endpoints(recognizer, 64, of_bitmaps=True)
    files = tf.constant([read_photo(values, 64) for values in PICTURES[:2]])
    names = endpoints["serving_default"](files)["landmarks"].numpy()
    assert [set(row) for row in names] == [{b"arch", b"bridge"}] * 2


@pytest.mark.parametrize("recognizer", ["abn"], indirect=True)
@pytest.mark.parametrize("endpoint", ["serving_default", "scores", "features"])
def test_photos_that_do_not_decode_fail_the_request_and_are_named(endpoints, files, endpoint):
    mixed = tf.stack([files[0], b"", files[1], b"<html>", files[0]])
    message = r"(?s)these photos of the batch, counted from 0, do not decode.*\b1,? 3\b"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        endpoints[endpoint](mixed)
    assert len(endpoints[endpoint](mixed[::2])) > 0  # and the next one is answered
