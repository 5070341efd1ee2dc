"""The library call: `glr_keras.load` a run or an export, then predict, explain and embed photos."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from glr_keras.inference.decoding import decode_views
from glr_keras.inference.endpoints import build_endpoints
from glr_keras.inference.loading import load_recognizer, short_side_of
from glr_keras.inference.model_dir import check_model, find_saved_model
from glr_keras.inference.photo_inputs import read_photo
from glr_keras.inference.saved_model import open_export
from glr_keras.models.landmark_maps import map_of_landmark
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError
from tfrecords.common.parallel import available_cores
from tfrecords.common.types import REASONS
from tfrecords.images.decode import PhotoError

BATCH = 32  # photos per call of the model


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a photo shows.

    Attributes:
        landmarks: Names, the most likely first.
        scores: Their probabilities, float32 array.
        probabilities: float32 array `(landmarks,)`, of all, in label order.
    """

    landmarks: list[str]
    scores: np.ndarray
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class Explanation(Prediction):
    """A prediction, and where the model looked.

    Attributes:
        attention_map: float32 array `(rows, columns)` in [0, 1], on the view; that of a landmark
            where one was asked for.
        view: float32 array `(image_size, image_size, 3)` in [0, 255]: the centre of the upright
            photo, 7/8 of its short side, as the model saw it.
    """

    attention_map: np.ndarray
    view: np.ndarray


class LandmarkModel:
    """A recogniser of a run or an export: both give the same answers.

    Photos are paths, bytes of files, PIL images or arrays `(height, width, 3)`, RGB in [0, 255];
    one of them, or any iterable of them, such as a list, a generator, an array of paths or of four
    axes, which gives a list of answers.

    Attributes:
        landmarks: Names in label order.
        image_size: Side of the square that the model sees, in pixels.
        short_side: To which photos are scaled down before, in pixels.
        head: Name of its head's class; maps are an ABN's own, and else Grad-CAM.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Callable],
        landmarks: Sequence[str],
        image_size: int,
        short_side: int,
        owner: Any = None,
        head: str = "ABN",
    ):
        self.landmarks = list(landmarks)
        self.image_size = image_size
        self.short_side = short_side
        self.head = head
        self._endpoints = endpoints
        self._owner = owner  # of the endpoints' variables
        self._readers = ThreadPoolExecutor(available_cores())
        self._decode = tf.function(
            lambda image_bytes: decode_views(image_bytes, image_size, short_side),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )

    def predict(self, photos, top: int = 5) -> Prediction | list[Prediction]:
        """Names the landmarks that photos show.

        Args:
            photos: One or many, see above.
            top: Int, how many landmarks to name.

        Raises:
            UserError: a photo can't be read; the message says which, and why.
        """
        return self._one_or_many(photos, lambda batch: self.try_predict(batch, top))

    def explain(
        self, photos, top: int = 5, landmark: str | None = None
    ) -> Explanation | list[Explanation]:
        """Does the same, with the attention map of each photo and the view that it lies on.

        Args:
            photos, top: As in `predict`.
            landmark: Name of one: the map then shows what speaks for it, whatever the answer is,
                divided by the map's maximum: its class activation map in the attention branch, or
                Grad-CAM of a head without one. Runs have it, exports do not.

        Raises:
            UserError: as in `predict`, an unknown landmark, or an export asked for one.
        """
        return self._one_or_many(photos, lambda batch: self.try_explain(batch, top, landmark))

    def embed(self, photos) -> np.ndarray:
        """Returns what the backbone says of each photo, averaged over space; for retrieval.

        Returns:
            float32 array `(channels,)`, or `(photos, channels)` for many.
        """

        def embed_batch(photos):
            return self._ask("features", photos, lambda answer, row, _: answer["embedding"][row])

        embeddings = self._one_or_many(photos, embed_batch)
        if isinstance(embeddings, list) and not embeddings:
            return self._call("features", [], even_if_empty=True)["embedding"]
        return np.array(embeddings)

    def try_predict(self, photos: Sequence, top: int = 5) -> list[Prediction | str]:
        """Predicts one batch; a photo that can't be read gives a key of `photos.REASONS`."""

        def predict(answer, row, _):
            return Prediction(**self._describe(answer, row, top))

        return self._ask("scores", photos, predict)

    def try_explain(
        self, photos: Sequence, top: int = 5, landmark: str | None = None
    ) -> list[Explanation | str]:
        """Explains one batch; reasons as in `try_predict`."""
        label = None
        if landmark is not None:
            label, recognizer = self.label_of(landmark), self.recognizer

        def explain(answer, row, contents):
            view = self._decode([contents])[0][0].numpy()
            described = self._describe(answer, row, top)
            attention_map = answer["attention_map"][row]
            if label is not None:
                attention_map = map_of_landmark(recognizer, view[None], [label])[0]
            return Explanation(**described, attention_map=attention_map, view=view)

        return self._ask("serving_default", photos, explain)

    def try_views(self, photos: Sequence) -> list[np.ndarray | str]:
        """Returns what the model sees of each photo, as in `Explanation.view`, or a reason."""
        results = list(self._readers.map(self._read, photos))
        files = [contents for contents in results if not isinstance(contents, str)]
        views = iter(self._decode(files)[0].numpy() if files else ())
        return [one if isinstance(one, str) else next(views) for one in results]

    @property
    def recognizer(self) -> Recognizer:
        """The Keras model of a run.

        Raises:
            UserError: of an export, which is a graph without parts.
        """
        if not isinstance(self._owner, Recognizer):
            raise UserError(
                "An export holds the map of its answer only. Name the run that it was made of."
            )
        return self._owner

    def label_of(self, landmark: str) -> int:
        """Returns the label of a landmark's name.

        Raises:
            UserError: the model does not know it; the message names similar ones.
        """
        if landmark in self.landmarks:
            return self.landmarks.index(landmark)
        similar = difflib.get_close_matches(landmark, self.landmarks, cutoff=0.5)
        shown = similar or self.landmarks[:5]
        raise UserError(
            f"The model does not know the landmark {landmark!r}. Of its {len(self.landmarks):,}, "
            f"{'similar ones are' if similar else 'some are'}: {', '.join(shown)}"
        )

    def _describe(self, answer, row, top):
        probabilities = answer["probabilities"][row]
        best = np.argsort(-probabilities, kind="stable")[:top]
        return {
            "landmarks": [self.landmarks[label] for label in best],
            "scores": probabilities[best],
            "probabilities": probabilities,
        }

    def _one_or_many(self, photos, ask):
        one = _is_one(photos)
        photos = iter([photos] if one else photos)
        results = []
        while batch := list(islice(photos, BATCH)):
            for place, result in enumerate(ask(batch), len(results)):
                if isinstance(result, str):
                    raise UserError(f"photos[{place}]: {result}: {REASONS[result]}.")
                results.append(result)
        return results[0] if one else results

    def _ask(self, endpoint, photos, make):
        """Sends a batch to an endpoint; returns `make(answer, row, file)` or a reason for each."""
        results = list(self._readers.map(self._read, photos))
        answer = self._call(endpoint, results)
        rows = iter(range(len(results)))
        return [
            contents if isinstance(contents, str) else make(answer, next(rows), contents)
            for contents in results
        ]

    def _read(self, photo):
        try:
            return read_photo(photo, self.short_side)
        except PhotoError as error:
            return error.reason

    def _call(self, endpoint, results, even_if_empty=False):
        files = [contents for contents in results if not isinstance(contents, str)]
        if not files and not even_if_empty:
            return {}
        answer = self._endpoints[endpoint](image_bytes=tf.constant(files, tf.string))
        return {name: values.numpy() for name, values in answer.items()}


def load(path) -> LandmarkModel:
    """Loads a complete run, or an export.

    Both compute in float32, whatever a run was trained in, and give the same numbers.

    Args:
        path: Run directory of `glr_keras.fit`, or folder of `glr_keras.export`.

    Raises:
        UserError: it is neither, is not complete, or was written by something else.
    """
    path = Path(path)
    check_model(path)
    if find_saved_model(path):
        export = open_export(path)
        description = export.description
        return LandmarkModel(
            export.endpoints,
            export.landmarks,
            description.image_size,
            description.short_side,
            export.saved_model,
            description.head,
        )
    recognizer = load_recognizer(path)
    short_side = short_side_of(path)
    endpoints = build_endpoints(recognizer, short_side)
    image_size = recognizer.backbone.input_shape[1]
    head = type(recognizer.head).__name__
    return LandmarkModel(endpoints, recognizer.landmarks, image_size, short_side, recognizer, head)


def _is_one(photos):
    """Whether it is one photo, and not several of them or an array of paths."""
    if isinstance(photos, np.ndarray):
        return photos.ndim in (2, 3) and photos.dtype.kind not in "OSU"
    return isinstance(photos, str | bytes | bytearray | memoryview | Image.Image) or not isinstance(
        photos, Iterable
    )
