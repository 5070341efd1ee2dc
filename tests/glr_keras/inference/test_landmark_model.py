"""`glr_keras.load`: photos of any kind, one or many, from a run and from its export alike."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glr_keras
from glr_keras.data.views import eval_view
from glr_keras.models.landmark_maps import map_of_landmark
from glr_keras.models.objective import compile_model
from tfrecords.common.console import UserError


@pytest.fixture
def run(small_model):
    return small_model


@pytest.fixture
def exported(small_exported_model):
    return small_exported_model


def test_a_run_and_its_export_say_the_same(run, exported, demo_photos):
    assert run.landmarks == exported.landmarks
    assert (run.image_size, run.short_side) == (exported.image_size, exported.short_side)
    for one, other in zip(run.predict(demo_photos), exported.predict(demo_photos), strict=True):
        assert one.landmarks == other.landmarks
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    few = demo_photos[:3]
    for one, other in zip(run.explain(few), exported.explain(few), strict=True):
        np.testing.assert_allclose(one.attention_map, other.attention_map, atol=1e-5)
    np.testing.assert_allclose(run.embed(few), exported.embed(few), rtol=1e-5)


def test_a_run_and_its_export_reject_the_same(run, exported, small_run, demo_photos):
    rejection = json.loads((small_run / "metrics.json").read_text())["rejection"]
    assert (rejection["photos"], rejection["accept"]) == (10, 0.95)
    pairs = zip(run.explain(demo_photos), exported.predict(demo_photos), strict=True)
    for one, other in pairs:
        assert one.p_value == pytest.approx(other.p_value, abs=0.1)
        assert one.p_value * 11 == pytest.approx(round(one.p_value * 11))
        assert (one.is_landmark, other.is_landmark) == (True, True)  # 10 are too few to reject


def test_what_is_accepted_can_be_asked_for(small_run, small_export, demo_photos):
    for path in (small_run, small_export):
        predictions = glr_keras.load(path, accept=0.5).predict(demo_photos[:20])
        assert [one.is_landmark for one in predictions] == [
            one.p_value > 0.5 for one in predictions
        ]
        assert not all(one.is_landmark for one in predictions)


def test_paths_bytes_images_and_arrays_of_a_photo_say_the_same(run, demo_photos):
    path = demo_photos[7]
    image = Image.open(path)
    png = io.BytesIO()
    image.save(png, "PNG")
    kinds = [path, str(path), path.read_bytes(), png.getvalue(), image, np.asarray(image)]
    first, *others = run.predict([*kinds, np.asarray(image).astype("float32")])
    for other in others:  # decoders of JPEG differ by a level here and there
        np.testing.assert_allclose(other.probabilities, first.probabilities, atol=2e-3)


def test_one_photo_gives_one_answer_and_many_a_list(run, demo_photos):
    alone = run.predict(demo_photos[0])
    several = run.predict(demo_photos[:2])
    array = np.asarray(Image.open(demo_photos[0]))
    stacked = run.predict(np.stack([array, array]))
    assert [len(several), len(stacked), run.predict([])] == [2, 2, []]
    np.testing.assert_allclose(several[0].scores, alone.scores, atol=1e-5)
    np.testing.assert_allclose(stacked[1].scores, run.predict(array).scores, atol=1e-5)
    assert run.embed(demo_photos[0]).shape == (128,)
    assert run.embed(demo_photos[:2]).shape == (2, 128)


def test_generators_and_arrays_of_paths_are_many_photos(run, demo_photos):
    expected = run.predict(demo_photos[:3])
    for photos in (iter(demo_photos[:3]), np.array([str(path) for path in demo_photos[:3]])):
        found = run.predict(photos)
        assert [one.landmarks for one in found] == [one.landmarks for one in expected]
    with pytest.raises(TypeError, match="expected a path, bytes, an image or an array, got int"):
        run.predict(5)


def test_embeddings_of_no_photos_have_as_many_channels(run, exported):
    assert run.embed([]).shape == exported.embed([]).shape == (0, 128)


def test_a_prediction_names_the_likeliest_landmarks(run, demo_photos):
    prediction = run.predict(demo_photos[0], top=3)
    order = np.argsort(-prediction.probabilities)[:3]
    assert prediction.landmarks == [run.landmarks[label] for label in order]
    np.testing.assert_array_equal(prediction.scores, prediction.probabilities[order])
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert len(run.predict(demo_photos[0], top=99).landmarks) == 10


def test_an_explanation_holds_the_view_that_its_map_lies_on(run, demo_photos):
    array = np.asarray(Image.open(demo_photos[0]))
    explanation = run.explain(array)
    np.testing.assert_array_equal(explanation.view, eval_view(array, 32, "whole"))
    assert explanation.attention_map.shape == (8, 8)
    assert 0 <= explanation.attention_map.min() < explanation.attention_map.max() <= 1
    assert explanation.landmarks == run.predict(array).landmarks


def test_embeddings_of_a_photo_and_its_copy_are_nearer_than_those_of_others(run, demo_photos):
    smaller = [Image.open(path).resize((120, 100)) for path in demo_photos[:5]]
    embeddings = run.embed([*demo_photos[:5], *smaller])
    embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    nearest = (embeddings[:5] @ embeddings[5:].T).argmax(1)
    np.testing.assert_array_equal(nearest, range(5))


def test_a_format_that_tensorflow_does_not_know_is_read_by_pillow(run, demo_photos):
    out = io.BytesIO()
    Image.open(demo_photos[0]).save(out, "TIFF")
    expected = run.predict(demo_photos[0]).probabilities
    np.testing.assert_allclose(run.predict(out.getvalue()).probabilities, expected, atol=0.02)


def test_photos_that_cannot_be_read_are_named(run, demo_photos, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(demo_photos[0].read_bytes()[:1000])
    photos = [demo_photos[0], tmp_path / "cut.jpg", b"", demo_photos[1], Path("nowhere.jpg")]
    with pytest.raises(UserError, match=r"photos\[1\]: damaged: the photo starts well and then"):
        run.predict(photos)
    with pytest.raises(UserError, match="missing: it is listed, and no such file is there"):
        run.explain("nowhere.jpg")
    outcomes = run.try_predict(photos)
    assert [outcomes[place] for place in (1, 2, 4)] == ["damaged", "empty", "missing"]
    for place in (0, 3):
        expected = run.predict(photos[place])
        np.testing.assert_allclose(outcomes[place].scores, expected.scores, atol=1e-5)
    assert run.try_predict([b"", b"<html>"]) == ["empty", "not a photo"]


def test_a_folder_is_called_a_folder(run, demo_photos):
    with pytest.raises(UserError, match=r"photos\[0\]: folder: it is a folder, where a photo was"):
        run.predict(demo_photos[0].parent)
    outcomes = run.try_predict([str(demo_photos[0].parent), demo_photos[0]])
    assert [isinstance(outcome, str) for outcome in outcomes] == [True, False]


def test_an_open_file_is_one_photo(run, demo_photos):
    expected = run.predict(demo_photos[0]).probabilities
    with open(demo_photos[0], "rb") as file:
        np.testing.assert_array_equal(run.predict(file).probabilities, expected)
    files = [io.BytesIO(path.read_bytes()) for path in demo_photos[:2]]
    assert len(run.predict(files)) == 2
    with pytest.raises(TypeError, match="expected a file opened in binary mode"):
        run.predict(io.StringIO("text"))


@pytest.mark.parametrize("top", [0, -1])
def test_no_landmark_or_fewer_cannot_be_asked_for(run, demo_photos, top):
    for ask in (run.predict, run.explain):
        with pytest.raises(UserError, match=f"top must be at least 1, got {top}"):
            ask(demo_photos[0], top=top)


def test_a_batch_is_decoded_once_and_explained_in_its_order(run, demo_photos, monkeypatch):
    calls = []
    decode = run._decode
    monkeypatch.setattr(run, "_decode", lambda files: calls.append(len(files)) or decode(files))
    explanations = run.try_explain([*demo_photos[:3], b"", demo_photos[3]])
    assert calls == [4]
    assert explanations.pop(3) == "empty"
    for explanation, photo in zip(explanations, demo_photos, strict=False):
        alone = run.explain(photo)
        np.testing.assert_allclose(explanation.attention_map, alone.attention_map, atol=1e-5)
        np.testing.assert_array_equal(explanation.view, alone.view)


def test_a_new_model_learns_photos(demo_photos):
    config = glr_keras.FitConfig(
        weights="random",
        image_size=32,
        cut_layer="block1_pool",
        head="dropout",
        pooling="flatten",
        head_units=(),
        optimizer="adam",
        schedule="constant",
        warmup_epochs=0,
        learning_rate=0.01,
    )
    model = glr_keras.build_model(config, 2)
    assert model.landmarks == ["0", "1"]
    photos = np.stack(
        [eval_view(np.asarray(Image.open(p)), 32, "center") for p in demo_photos[:10]]
    )
    labels = np.repeat([0, 1], 5)
    compile_model(model.head, config, steps_per_epoch=1)
    features = model.backbone(photos)
    for _ in range(100):
        model.head.train_on_batch(features, {"perception": labels})
    logits = model(photos)["perception"].numpy()
    np.testing.assert_array_equal(logits.argmax(1), labels)


def test_other_folders_are_refused(tmp_path, demo_data):
    with pytest.raises(UserError, match="is neither a run nor an export"):
        glr_keras.load(tmp_path)
    with pytest.raises(UserError, match="is neither a run nor an export"):
        glr_keras.load(demo_data)
    with pytest.raises(UserError, match="does not exist"):
        glr_keras.load(tmp_path / "none")


def test_a_run_explains_any_of_its_landmarks(run, demo_photos):
    one, other = (run.explain(demo_photos[0], landmark=name) for name in run.landmarks[:2])
    answer = run.explain(demo_photos[0])
    assert one.landmarks == other.landmarks == answer.landmarks
    assert one.attention_map.shape == answer.attention_map.shape
    assert one.attention_map.max() in (0, 1)
    assert not np.array_equal(one.attention_map, other.attention_map)
    expected = map_of_landmark(run.recognizer, one.view[None], [0])
    np.testing.assert_allclose(one.attention_map, expected[0], rtol=1e-5)


def test_an_unknown_landmark_and_an_export_asked_for_one_are_refused(run, exported, demo_photos):
    with pytest.raises(UserError, match=r"does not know the landmark 'great_dom'.*great_dome"):
        run.explain(demo_photos[0], landmark="great_dom")
    with pytest.raises(UserError, match="Name the run that it was made of"):
        exported.explain(demo_photos[0], landmark=run.landmarks[0])
