"""What a server asks: functions from files or pixels to landmarks, maps and embeddings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import tensorflow as tf

from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.rejector import Rejector, calibrated
from glr_keras.data.tracing import as_written
from glr_keras.data.views import eval_view
from glr_keras.decoding.decoder import bitmap_decoder, view_decoder
from glr_keras.decoding.resampling import shrink
from glr_keras.inference.model_dir import NO_TTA
from glr_keras.inference.tta import outputs_of_views
from glr_keras.models.recognizer import Recognizer

TOP = 5  # landmarks named with their scores


def build_endpoints(
    recognizer: Recognizer,
    short_side: int,
    weights_scope: Callable[[], AbstractContextManager] = nullcontext,
    rejector: Rejector | None = None,
    tta: str = NO_TTA,
    of_bitmaps: bool = False,
) -> dict[str, Callable]:
    """Builds the functions that an export consists of; `predict` asks them of a run, too.

    Args:
        recognizer: Recognizer.
        short_side: Int, pixels; of the records it has learned from.
        weights_scope: Makes a context in which the recogniser computes with other weights than its
            own: an export in half precision turns its kernels to float32 there, for each call.
        rejector: Of the run, if it has one.
        tta: Among `model_dir.TTA`: views that an answer is averaged over.
        of_bitmaps: Whether `image_bytes` are BMP files as `photo_inputs.read_photo` makes them, in
            the place of files of any kind. An export has to inspect and decode those in the graph
            of each function, which takes most of the time to the first answer.

    Returns:
        Dict of functions, each from one tensor to a dict of tensors, first axis `batch`:
        "serving_default", from `image_bytes`, string `(batch,)`: files as `decode_views` takes
        them. It returns `probabilities`, float32 `(batch, landmarks)` in label order, at the
        temperature of the rejector; `landmarks`,
        string, and `scores`, float32, `(batch, 5)`, the most likely first (all, where there are
        fewer); `attention_map`, float32 `(batch, rows, columns)` in [0, 1], on the view that
        `views.eval_view` makes. With a rejector, also `p_value`, float32, and `is_landmark`, bool,
        `(batch,)`, see `Rejector.judge`.
        "scores", the same without the map, which takes a dropout head (Grad-CAM) as long again.
        "pixels", as "serving_default" from `photos`, float32 `(batch, height, width, 3)`, RGB in
        [0, 255], of any size, as a decoder gives them: whole photos, upright.
        "features", from `image_bytes`: `embedding`, float32 `(batch, channels)`: the features of
        each photo, averaged over space.
    """

    def predict(views, with_map=False):
        with weights_scope():
            outputs, maps, embedding = outputs_of_views(recognizer, views, tta, with_map)
        answer = _name_landmarks(recognizer, rejector, outputs, embedding)
        return answer | ({"attention_map": maps} if with_map else {})

    def embed(views):
        with weights_scope():
            features = recognizer.backbone(views, training=False)
        return {"embedding": tf.reduce_mean(tf.cast(features, tf.float32), axis=(1, 2))}

    predict_with_map = _even_if_empty(partial(predict, with_map=True))
    image_size, framing = recognizer.image_size, recognizer.framing
    if of_bitmaps:
        decode = bitmap_decoder(image_size, framing)
    else:
        decode = partial(_decode_all, view_decoder(image_size, short_side, framing))
    return {
        "serving_default": _of_files(predict_with_map, decode),
        "scores": _of_files(_even_if_empty(predict), decode),
        "pixels": _of_pixels(predict_with_map, image_size, short_side, framing),
        "features": _of_files(_even_if_empty(embed), decode),
    }


def _of_files(ask, decode):
    """Makes a function of files out of a function of views: one graph that also decodes."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    @as_written
    def endpoint(image_bytes):
        return ask(decode(image_bytes))

    return endpoint


def _of_pixels(ask, image_size, short_side, framing):
    """Makes a function of decoded photos out of a function of views."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "photos")])
    @as_written
    def pixels(photos):
        def view(photo):
            photo = tf.cast(tf.clip_by_value(tf.round(photo), 0, 255), tf.uint8)
            return eval_view(shrink(photo, short_side), image_size, framing)

        views = tf.map_fn(view, photos, fn_output_signature=tf.float32)
        return ask(tf.ensure_shape(views, [None, image_size, image_size, 3]))

    return pixels


def _name_landmarks(recognizer, rejector, outputs, embedding):
    """Returns what an endpoint says of views, but for the map."""
    answer = judged_answer(recognizer, rejector, outputs, embedding)
    scores, best = tf.math.top_k(answer["probabilities"], min(TOP, len(recognizer.landmarks)))
    return answer | {
        "landmarks": tf.gather(tf.constant(recognizer.landmarks), best),
        "scores": scores,
    }


def judged_answer(
    recognizer: Recognizer, rejector: Rejector | None, outputs: dict, embedding: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns the "probabilities" of an answer and, with a rejector, what that says of it.

    Args:
        recognizer, rejector: As for `build_endpoints`.
        outputs: Dict from branch to logits `(batch, landmarks)`.
        embedding: `(batch, channels)`, features averaged over space.
    """
    raw = recognizer.answer_log_probabilities(outputs)
    evidence = Evidence(raw, outputs, embedding)
    answer = {"probabilities": tf.exp(calibrated(evidence, rejector))}
    return answer if rejector is None else answer | rejector.judge(evidence)


def _even_if_empty(ask):
    """Makes a function of views take none of them, too: its answer is then empty arrays.

    With oneDNN, TensorFlow 2.21's convolutions refuse an empty batch; a blank view stands in.
    """

    def ask_of_any_number(views):
        count = tf.shape(views)[0]
        blank = tf.zeros([tf.cast(count == 0, tf.int32), *views.shape[1:]])
        answer = ask(tf.concat([views, blank], 0))
        return {name: values[:count] for name, values in answer.items()}

    return ask_of_any_number


def _decode_all(decode_views, image_bytes):
    """Decodes a batch; where photos fail, so does the request, and says which."""
    views, places = decode_views(image_bytes)
    count = tf.size(image_bytes, out_type=tf.int64)
    failed = tf.sets.difference(tf.range(count)[None], places[None]).values
    check = tf.debugging.Assert(
        tf.size(failed) == 0,
        [
            "image_bytes: these photos of the batch, counted from 0, do not decode as JPEG, PNG, "
            "WebP, GIF or BMP, or are of a kind that TensorFlow shows otherwise than the records "
            "(an animation, CMYK, a colour profile other than sRGB); glr_keras.predict reads them:",
            failed,
        ],
        summarize=100,
    )
    with tf.control_dependencies([check]):
        return tf.identity(views)
