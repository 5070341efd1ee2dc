"""Answers to decoded photos in one forward pass: landmarks, maps, and what to compare by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from glr_keras.data.tracing import as_written
from glr_keras.inference.endpoints import judged_answer
from glr_keras.inference.landmark_model import LandmarkModel, Prediction
from glr_keras.inference.model_dir import find_saved_model
from glr_keras.inference.photo_inputs import read_photo
from glr_keras.models.attention import outputs_with_map
from glr_keras.models.landmark_maps import (
    ATTENTION,
    GRAD_CAM,
    landmark_maps,
    name_of_landmark_maps,
)


@dataclass(frozen=True)
class Question:
    """A photo, and what is asked about it.

    Attributes:
        photo: File as `photo_inputs.read_photo` returns it.
        label: Of the landmark that the map is about; None for the map of the answer.
    """

    photo: bytes
    label: int | None = None


@dataclass(frozen=True)
class Answer:
    """What the model says of a photo.

    Attributes:
        prediction: Prediction, of all landmarks.
        saliency: float32 `(rows, columns)` in [0, 1], on what the model sees of the photo.
        kind: Which map that is: "attention", "class" or "grad-cam".
        embedding: float32 `(channels,)`, features averaged over space; None of an export.
    """

    prediction: Prediction
    saliency: np.ndarray
    kind: str
    embedding: np.ndarray | None


class Recognition:
    """Computes answers in batches.

    Args:
        model: LandmarkModel.
        path: Of its run or export. An export has neither embeddings in the same pass nor maps of
            landmarks.
    """

    def __init__(self, model: LandmarkModel, path: Path):
        self.model = model
        self.is_run = find_saved_model(path) is None
        self.kind = ATTENTION if model.head == "ABN" else GRAD_CAM
        if self.is_run:
            side = model.image_size
            signature = [tf.TensorSpec([None, side, side, 3], tf.float32)]
            self._compute = tf.function(as_written(self._forward), input_signature=signature)

    def warm_up(self) -> None:
        """Traces all functions, so that the first request is not slower than the others."""
        side = self.model.image_size
        photo = read_photo(np.zeros((side, side, 3), np.uint8), self.model.short_side)
        self.answer([Question(photo, 0 if self.is_run else None)])

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers one batch."""
        photos = [question.photo for question in questions]
        if not self.is_run:
            found = self.model.try_explain(photos, len(self.model.landmarks))
            answers = [one for one in found if not isinstance(one, str)]  # all: they are decoded
            return [Answer(one, one.attention_map, self.kind, None) for one in answers]
        computed = self._compute(np.stack(self.model.try_views(photos)))
        features, maps, embeddings, answer = tf.nest.map_structure(
            lambda one: one.numpy(), computed
        )
        kinds = [self.kind] * len(photos)
        self._add_landmark_maps(questions, features, maps, kinds)
        predictions = self.model.predictions(answer, len(self.model.landmarks))
        return [Answer(*parts) for parts in zip(predictions, maps, kinds, embeddings, strict=True)]

    def _forward(self, views):
        recognizer = self.model.recognizer
        features = recognizer.backbone(views, training=False)
        outputs, maps = outputs_with_map(recognizer.head, features)
        embeddings = tf.reduce_mean(tf.cast(features, tf.float32), axis=(1, 2))
        answer = judged_answer(recognizer, self.model.rejector, outputs, embeddings)
        return features, maps, embeddings, answer

    def _add_landmark_maps(self, questions, features, maps, kinds):
        rows = [row for row, question in enumerate(questions) if question.label is not None]
        if not rows:
            return
        head = self.model.recognizer.head
        name = name_of_landmark_maps(head)
        labels = [questions[row].label for row in rows]
        maps[rows] = landmark_maps(head, features[rows], name, labels)
        for row in rows:
            kinds[row] = name
