"""All maps of a head, measured: by perturbing photos, or in seconds by perturbing its features."""

import keras
import numpy as np
import tensorflow as tf

from glr_keras.data.records import Records, raw_records
from glr_keras.data.tracing import as_written
from glr_keras.data.views import eval_window
from glr_keras.models.landmark_maps import (
    BLURRED,
    GRAD_CAM,
    in_batches,
    landmark_maps,
    map_names,
)
from glr_keras.models.recognizer import Recognizer
from glr_keras.saliency.evaluation import faithfulness
from glr_keras.saliency.localization import box_in_view
from glr_keras.saliency.result import Faithfulness


def all_maps(head: keras.Model, features: np.ndarray) -> dict[str, np.ndarray]:
    """Computes every map of `head`, and Grad-CAM blurred; the one it shows comes first."""
    names = dict.fromkeys((*map_names(head), GRAD_CAM, BLURRED))
    return {name: landmark_maps(head, features, name) for name in names}


def measure_on_photos(
    recognizer: Recognizer, views: np.ndarray, boxes: np.ndarray | None = None, **settings
) -> Faithfulness:
    """Measures all maps of a recogniser by perturbing photos.

    Args:
        recognizer: Recognizer.
        views: float32 `(photos, image_size, image_size, 3)`, RGB in [0, 255].
        boxes: `(photos, 4)` on the views; all 0 where unknown.
        settings: Of `faithfulness`, e.g. `seconds`.
    """
    features = in_batches(lambda part: recognizer.backbone(part, training=False), views)

    @tf.function
    @as_written
    def probabilities(photos):
        return recognizer.head.probabilities(recognizer.backbone(photos, training=False))

    maps = all_maps(recognizer.head, features)
    return faithfulness(probabilities, views, maps, boxes=boxes, **settings)


def measure_on_features(
    head: keras.Model, features: np.ndarray, boxes: np.ndarray | None = None, **settings
) -> Faithfulness:
    """Measures all maps of a head by perturbing features: cheap enough for a loop over heads.

    Cells of the features are replaced by their mean over photos, so the backbone is not run again.
    What a cell knows of its neighbours through the backbone stays: figures are comparable between
    heads on the same features, not with those on photos. Comparisons with boxes are the same.

    Args:
        head: `DropoutHead` or `ABN`.
        features: `(photos, rows, columns, channels)`, e.g. of `glr_keras.features`' eval views.
        boxes: `(photos, 4)` on the views, from `boxes_in_views`; all 0 where unknown.
        settings: Of `faithfulness`.
    """
    features = np.asarray(features, np.float32)
    settings = {
        "mean": features.mean((0, 1, 2)),
        "groups": ("deletion", "insertion", "drop"),
        "baselines": ("mean",),
        "batch_size": 256,
    } | settings
    maps = all_maps(head, features)
    return faithfulness(head.probabilities, features, maps, boxes=boxes, **settings)


def boxes_in_views(records: Records, split: str, framing: str) -> np.ndarray:
    """Returns the boxes of a split on its eval views, in record order.

    Args:
        records: From `open_records`.
        split: "train", "validation" or "test".
        framing: See `data.views.eval_view`.

    Returns:
        float64 `(photos, 4)`, (ymin, xmin, ymax, xmax) in [0, 1]; all 0 where unknown, or where the
        view shows nothing of the landmark.
    """
    boxes = []
    for record in raw_records(records, split).as_numpy_iterator():
        height, width, _ = tf.io.extract_jpeg_shape(record["image"]).numpy()
        boxes.append(box_in_view(record["box"], eval_window(height, width, framing)))
    return np.array(boxes).reshape(-1, 4)
