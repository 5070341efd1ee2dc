"""The library call: `glr_keras.load` a run or an export, then predict, explain and embed photos."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from glr_keras.calibration.conformal import is_accepted
from glr_keras.calibration.rejector import Rejector, load_rejector, no_rejector
from glr_keras.decoding.decoder import bitmap_decoder
from glr_keras.inference.endpoints import build_endpoints
from glr_keras.inference.loading import load_recognizer, short_side_of
from glr_keras.inference.model_dir import NO_TTA, TTA, check_model, find_saved_model
from glr_keras.inference.photo_inputs import is_one_photo, read_photo
from glr_keras.inference.predictions import Explanation, Prediction
from glr_keras.inference.saved_model import open_export
from glr_keras.models.landmark_maps import map_of_landmark
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError
from tfrecords.common.parallel import available_cores
from tfrecords.common.types import REASONS
from tfrecords.images.decode import PhotoError

BATCH = 32  # photos per call of the model


class LandmarkModel:
    """A recogniser of a run or an export: both give the same answers.

    Photos are paths, files opened in binary mode, bytes of files, PIL images or arrays `(height,
    width, 3)`, RGB in [0, 255]; one of them, or any iterable of them, such as a list, a generator,
    an array of paths or of four axes, which gives a list of answers.

    Attributes:
        landmarks: Names in label order.
        image_size: Side of the square that the model sees, in pixels.
        short_side: To which photos are scaled down before, in pixels.
        framing: What it sees of a photo, "whole" or "center": see `data.views.eval_view`.
        head: Name of its head's class; maps are an ABN's own, and else Grad-CAM.
        rejection: `Rejector.settings`, such as "accept", the fraction of photos of known landmarks
            that are accepted; empty where the model can't reject photos.
        rejector: Of a run that has one; None of others and of an export, where it is in the graph.
        tta: Views that its answers are averaged over, see `load`.
        temperature: Of its probabilities: they are the network's own ** (1 / temperature),
            normalised; 1 where the model has none.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Callable],
        landmarks: Sequence[str],
        image_size: int,
        short_side: int,
        framing: str,
        owner: Any = None,
        head: str = "ABN",
        rejection: Mapping[str, Any] | None = None,
        rejector: Rejector | None = None,
        tta: str = NO_TTA,
        temperature: float = 1.0,
    ):
        self.landmarks = list(landmarks)
        self.image_size = image_size
        self.short_side = short_side
        self.framing = framing
        self.head = head
        self.rejection = rejector.settings if rejector else dict(rejection or {})
        self.rejector = rejector
        self.tta = tta
        self.temperature = rejector.temperature if rejector else temperature
        self._endpoints = endpoints
        self._owner = owner  # of the endpoints' variables
        self._readers = ThreadPoolExecutor(available_cores())
        self._decode = bitmap_decoder(image_size, framing)

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
        """Returns the features of each photo, averaged over space; for retrieval.

        Returns:
            float32 array `(channels,)`, or `(photos, channels)` for many.
        """

        def embed(files):
            return self._call("features", files)["embedding"]

        embeddings = self._one_or_many(photos, lambda batch: self._answer_read(batch, embed))
        if isinstance(embeddings, list) and not embeddings:
            return embed([])
        return np.array(embeddings)

    def try_predict(self, photos: Sequence, top: int = 5) -> list[Prediction | str]:
        """Predicts one batch; a photo that can't be read gives a key of `types.REASONS`."""
        _check_top(top)
        return self._answer_read(
            photos, lambda files: self.predictions(self._call("scores", files), top)
        )

    def try_explain(
        self, photos: Sequence, top: int = 5, landmark: str | None = None
    ) -> list[Explanation | str]:
        """Explains one batch; reasons as in `try_predict`."""
        _check_top(top)
        if landmark is not None:
            label, recognizer = self.label_of(landmark), self.recognizer

        def explain(files):
            answer = self._call("serving_default", files)
            views, maps = self._views(files), answer["attention_map"]
            if landmark is not None:
                maps = map_of_landmark(recognizer, views, [label] * len(views))
            of_photos = zip(self.predictions(answer, top), maps, views, strict=True)
            for prediction, attention_map, view in of_photos:
                yield Explanation(**vars(prediction), attention_map=attention_map, view=view)

        return self._answer_read(photos, explain)

    def try_views(self, photos: Sequence) -> list[np.ndarray | str]:
        """Returns what the model sees of each photo, as in `Explanation.view`, or a reason."""
        return self._answer_read(photos, self._views)

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

    def _one_or_many(self, photos, answer_batch):
        one = is_one_photo(photos)
        photos = iter([photos] if one else photos)
        results = []
        while batch := list(islice(photos, BATCH)):
            for place, result in enumerate(answer_batch(batch), len(results)):
                if isinstance(result, str):
                    raise UserError(f"photos[{place}]: {result}: {REASONS[result]}.")
                results.append(result)
        return results[0] if one else results

    def _answer_read(self, photos, answer):
        """Answers for the photos of a batch that can be read; the others have their reason."""

        def read(photo):
            try:
                return read_photo(photo, self.short_side)
            except PhotoError as error:
                return error.reason

        outcomes = list(self._readers.map(read, photos))
        files = [one for one in outcomes if isinstance(one, bytes)]
        answers = iter(answer(files) if files else ())
        return [next(answers) if isinstance(one, bytes) else one for one in outcomes]

    def _call(self, endpoint, files):
        answer = self._endpoints[endpoint](image_bytes=tf.constant(files, tf.string))
        return {name: values.numpy() for name, values in answer.items()}

    def _views(self, files):
        return self._decode(tf.constant(files, tf.string)).numpy()

    def predictions(self, answer: Mapping[str, np.ndarray], top: int) -> Iterator[Prediction]:
        """Yields what the outputs of an endpoint say of each photo."""
        for row, probabilities in enumerate(answer["probabilities"]):
            best = np.argsort(-probabilities, kind="stable")[:top]
            names = [self.landmarks[label] for label in best]
            judged: dict[str, Any] = {}
            if "p_value" in answer:
                p, settings = answer["p_value"][row], self.rejection
                passes = is_accepted(p, settings["photos"], settings["accept"])
                judged = {"is_landmark": bool(passes), "p_value": float(p)}
            yield Prediction(names, probabilities[best], probabilities, **judged)


def load(path, accept: float | None = None, tta: str = NO_TTA) -> LandmarkModel:
    """Loads a complete run, or an export.

    Both compute in float32, whatever a run was trained in, and give the same numbers.

    Args:
        path: Run directory of `glr_keras.fit`, or folder of `glr_keras.export`.
        accept: Float in (0, 1), fraction of photos of known landmarks that are to be accepted as
            such; None: what the run or export says, .95 by default.
        tta: Views that each answer is averaged over: "flip" (the photo and its mirror image) or
            "flip+crops" (these, and five crops with theirs). An export has its own.

    Raises:
        UserError: it is neither, is not complete, or was written by something else; `tta` is none
            of these, or not what the export was made with; or `accept` is given and it can't reject
            photos, since an earlier version wrote it.
    """
    path = Path(path)
    if tta not in TTA:
        raise UserError(f"tta must be one of {', '.join(TTA)}, got {tta!r}.")
    check_model(path)
    if find_saved_model(path):
        return _load_export(path, accept, tta)
    recognizer, short_side = load_recognizer(path), short_side_of(path)
    rejector = load_rejector(path, accept)
    return LandmarkModel(
        build_endpoints(recognizer, short_side, rejector=rejector, tta=tta, of_bitmaps=True),
        recognizer.landmarks,
        recognizer.image_size,
        short_side,
        recognizer.framing,
        recognizer,
        type(recognizer.head).__name__,
        rejector=rejector,
        tta=tta,
    )


def _load_export(path, accept, tta):
    export = open_export(path)
    about = export.description
    if tta not in (NO_TTA, about.tta):
        raise UserError(
            f"{path} answers as it was exported, with tta {about.tta}. Load its run, or export it "
            f"again with: --tta {tta}"
        )
    if accept is not None and not about.rejection:
        raise no_rejector(path)
    return LandmarkModel(
        export.endpoints,
        export.landmarks,
        about.image_size,
        about.short_side,
        about.framing,
        export.saved_model,
        about.head,
        about.rejection | ({} if accept is None else {"accept": accept}),
        tta=about.tta,
        temperature=about.temperature,
    )


def _check_top(top):
    if top < 1:
        raise UserError(f"top must be at least 1, got {top}.")
