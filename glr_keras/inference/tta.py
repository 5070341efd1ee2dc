"""Test-time augmentation: the answer averaged over several views of a photo."""

import tensorflow as tf

from glr_keras.inference.model_dir import FLIP_AND_CROPS, NO_TTA
from glr_keras.models.attention import outputs_with_map
from glr_keras.models.recognizer import Recognizer

CROP = 7 / 8  # side of a crop as a fraction of the view's


def outputs_of_views(
    recognizer: Recognizer, photos: tf.Tensor, tta: str, with_map: bool = True
) -> tuple[dict, tf.Tensor, tf.Tensor]:
    """Asks a recogniser for several views of each photo, and averages what it says.

    Args:
        recognizer: Recognizer.
        photos: float32 Tensor `(batch, image_size, image_size, 3)`, RGB in [0, 255].
        tta: Among `model_dir.TTA`.
        with_map: Bool, whether maps are needed: Grad-CAM takes as long again.

    Returns:
        outputs: Dict from branch to float32 Tensor `(batch, landmarks)`: logits whose softmax is
            the mean of the views' probabilities, and whose energy is that of their energies.
        maps: float32 Tensor `(batch, height, width)` as `attention.answer_with_map` returns them:
            the mean of the photo's own and that of its mirror image, mirrored back. Crops have
            none, as they show a part only. All 0 without `with_map`.
        features: float32 Tensor `(batch, channels)`: of the photo itself, averaged over space.
    """
    rows, columns = recognizer.backbone.output_shape[1:3]

    def ask(view):
        features = recognizer.backbone(view, training=False)
        if with_map:
            outputs, maps = outputs_with_map(recognizer.head, features)
        else:
            outputs = recognizer.head(features, training=False)
            maps = tf.zeros([tf.shape(features)[0], rows, columns])
        pooled = tf.reduce_mean(tf.cast(features, tf.float32), axis=(1, 2))
        return {name: tf.cast(logits, tf.float32) for name, logits in outputs.items()}, maps, pooled

    if tta == NO_TTA:
        return ask(photos)
    signature = dict.fromkeys(recognizer.branches, tf.float32), tf.float32, tf.float32
    # One after the other: all at once would take the memory of as many batches.
    outputs, maps, pooled = tf.map_fn(ask, make_views(photos, tta), fn_output_signature=signature)
    averaged = {name: average_logits(logits) for name, logits in outputs.items()}
    return averaged, (maps[0] + maps[1][:, :, ::-1]) / 2, pooled[0]


def make_views(photos: tf.Tensor, tta: str) -> tf.Tensor:
    """Makes views: the photo, its mirror image, then crops and their mirror images, in pairs.

    Crops are those of the corners and of the centre, 7/8 of the photo's side.

    Returns:
        float32 Tensor `(views, batch, image_size, image_size, 3)`.
    """
    size, views = photos.shape[1], [photos]
    if tta == FLIP_AND_CROPS:
        side = round(CROP * size)
        end, middle = size - side, (size - side) // 2
        for top, left in ((0, 0), (0, end), (end, 0), (end, end), (middle, middle)):
            crop = photos[:, top : top + side, left : left + side]
            views.append(tf.image.resize(crop, (size, size)))
    return tf.stack([view for one in views for view in (one, one[:, :, ::-1])])


def average_logits(logits: tf.Tensor) -> tf.Tensor:
    """Returns logits of the mean probabilities, `(batch, landmarks)`, at the mean energy.

    Args:
        logits: float32 Tensor `(views, batch, landmarks)`.
    """
    views = tf.cast(tf.shape(logits)[0], tf.float32)
    mean = tf.reduce_logsumexp(tf.nn.log_softmax(logits), 0) - tf.math.log(views)
    energy = tf.reduce_mean(tf.reduce_logsumexp(logits, -1, keepdims=True), 0)
    return mean + energy
