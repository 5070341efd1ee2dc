"""A recogniser as one function from views to answers, and what a reader of its file must know.

Neither LiteRT nor ONNX can decode or scale photos as the records are, so these files take views:
the program around them makes them, by the rule in the description.
"""

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.rejector import Rejector, calibrated
from glr_keras.data.views import CENTER_FRACTION
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.files import sha256_of

FORMAT = 1  # of the description
INPUT = "photos"
FRAMINGS = {  # how a photo, turned upright by its EXIF orientation, becomes the input
    "whole": "the whole photo, its aspect ratio changed",
    "center": f"the central square whose side is {CENTER_FRACTION} of the photo's short side",
}
SCALING = "to the size of the input, with a filter that averages (area or Lanczos)"
OUTPUTS = {
    "probabilities": "float32 [batch, landmarks], in the order of the labels, at the temperature "
    "of `rejection`",
    "scores": "float32 [batch, landmarks], logs of the probabilities",
    "attention_map": "float32 [batch, rows, columns] in [0, 1], cells of the view, first row at "
    "the top: where the model looked",
    "rejection_score": "float32 [batch]; a photo shows a known landmark where it is at least the "
    "threshold of `rejection`",
}


def portable_function(recognizer: Recognizer, rejector: Rejector | None = None) -> tf.function:
    """Returns the function that a file of another runtime holds.

    Its `photos` are views, float32 `(batch, image_size, image_size, 3)`, RGB in [0, 255]; it
    returns a dict of `OUTPUTS`. The map is an ABN's own: Grad-CAM, that of the other heads, needs a
    gradient, which these runtimes do not have, so there is none. With the rejector of the run, it
    returns the score that photos of other places are rejected by.
    """
    head = recognizer.head
    image_size = recognizer.image_size
    views = tf.TensorSpec([None, image_size, image_size, 3], tf.float32, INPUT)

    @tf.function(input_signature=[views])
    def pixels(photos):
        features = recognizer.backbone(photos, training=False)
        if hasattr(head, "explain"):
            outputs = dict(head.explain(features))
            maps = {"attention_map": tf.cast(outputs.pop("attention_map")[..., 0], tf.float32)}
        else:
            outputs, maps = head(features, training=False), {}
        raw = tf.cast(head.answer_log_probabilities(outputs), tf.float32)
        embedding = tf.reduce_mean(tf.cast(features, tf.float32), axis=(1, 2))
        evidence = Evidence(raw, outputs, embedding)
        scores = calibrated(evidence, rejector)
        answer = {"probabilities": tf.exp(scores), "scores": scores, **maps}
        if rejector is not None:
            answer["rejection_score"] = rejector.scores(evidence)
        return answer

    return pixels


def describe_portable(
    recognizer: Recognizer,
    outputs: Iterable[str],
    short_side: int,
    rejector: Rejector | None,
    files: Iterable[Path],
) -> dict:
    """Returns the description that lies beside the files.

    Args:
        recognizer: Recognizer.
        outputs: Names of what the files return.
        short_side: Int, pixels; of the records it has learned from.
        rejector: As of `portable_function`.
        files: Written ones, whose hashes it has.
    """
    image_size, rejection = recognizer.image_size, {}
    if rejector is not None:
        rejection = {**rejector.settings, "threshold": rejector.threshold}
    return {
        "software": "glr-keras",
        "format": FORMAT,
        "backbone": recognizer.backbone.name,
        "head": type(recognizer.head).__name__,
        "labels": recognizer.landmarks,
        "input": {
            "name": INPUT,
            "shape": [None, image_size, image_size, 3],
            "type": "float32",
            "values": "RGB in [0, 255]",
        },
        "crop": {
            "framing": recognizer.framing,
            "window": FRAMINGS[recognizer.framing],
            "scaling": SCALING,
            "size": image_size,
            "short_side": short_side,
        },
        "outputs": {name: OUTPUTS[name] for name in outputs},
        "rejection": rejection,
        "sha256": {path.name: sha256_of(path) for path in files},
    }
