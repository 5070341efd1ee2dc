"""All maps of a trained head, measured on photos and on features."""

import numpy as np
import pytest

from glr_keras.data.records import photo_batches
from glr_keras.explaining.measured_maps import (
    boxes_in_views,
    measure_on_features,
    measure_on_photos,
)

MAPS = ["attention", "class", "grad-cam", "blurred grad-cam", "centre", "random"]


@pytest.fixture(scope="module")
def model_and_views(small_run, small_model, demo_data):
    """The recogniser, the test photos as it sees them, and their boxes."""
    from glr_keras.config import read_json
    from glr_keras.data.records import open_records

    records = open_records(demo_data)
    config = read_json(small_run / "config.json")
    batch = next(iter(photo_batches(records, "test", config.image_size, config.framing, 32)))
    return (
        small_model.recognizer,
        batch["photo"].numpy(),
        boxes_in_views(records, "test", "center"),
    )


def test_maps_are_measured_on_photos(model_and_views):
    recognizer, views, boxes = model_and_views
    result = measure_on_photos(recognizer, views[:2], boxes[:2], steps=3, groups=["deletion"])
    assert list(result.scores) == MAPS
    assert result.measures[:2] == ["deletion_mean", "deletion_blur"]
    clean = np.asarray(recognizer.probabilities(views[:2]))
    np.testing.assert_allclose(
        result.curves["class"]["deletion_blur"][:, 0], clean.max(1), rtol=1e-4
    )


def test_boxes_are_compared_alike_on_photos_and_on_features(model_and_views):
    recognizer, views, boxes = model_and_views
    features = recognizer.backbone(views).numpy()
    on_features = measure_on_features(recognizer.head, features, boxes, steps=4)
    on_photos = measure_on_photos(recognizer, views, boxes, steps=1, groups=["drop"])
    for name in MAPS:
        expected = on_photos.scores[name]["box_auc"]
        np.testing.assert_allclose(on_features.scores[name]["box_auc"], expected, atol=0.01)
    assert on_features.parameters["photos"] == len(views)
    assert on_features.parameters["baselines"] == ["mean"]
    assert "blur" not in str(on_features).splitlines()[0]


def test_boxes_lie_on_the_views(model_and_views):
    _, views, boxes = model_and_views
    assert boxes.shape == (len(views), 4)
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
