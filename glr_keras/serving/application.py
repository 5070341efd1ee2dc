"""The web application: routes, and what each of them answers."""

import asyncio
import functools
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
from aiohttp import web
from matplotlib import colormaps
from PIL import Image

from glr_keras.data.views import eval_window
from glr_keras.explaining.pictures import COLOURS
from glr_keras.inference.landmark_model import LandmarkModel
from glr_keras.inference.photo_inputs import read_photo
from glr_keras.serving.batching import Batcher
from glr_keras.serving.bodies import check_length, read_photo_body
from glr_keras.serving.known_photos import KnownPhotos, Neighbour
from glr_keras.serving.limits import Admission, Limits, Refusal, busy, too_slow, within
from glr_keras.serving.openapi import describe_api
from glr_keras.serving.protection import add_headers
from glr_keras.serving.queries import Query, read_query
from glr_keras.serving.recognition import Answer, Question, Recognition
from tfrecords.common.parallel import available_cores
from tfrecords.common.types import REASONS
from tfrecords.images.decode import PhotoError

PAGE = {  # path: (file, its type)
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/script.js": ("script.js", "text/javascript"),
    "/asking.js": ("asking.js", "text/javascript"),
    "/picture.js": ("picture.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
STATUS = {"empty": 400, "not a photo": 415, "HEIC": 415, "too large": 413, "too many bytes": 413}
UNUSABLE = 422  # any other reason why a photo can't be used
COLOUR_STEPS = 33  # of the colour map; between them the page interpolates


def make_app(
    path: Path,
    model: LandmarkModel,
    photos: KnownPhotos,
    limits: Limits,
    middleware: Callable,
) -> web.Application:
    """Returns the web application of a model, ready to answer.

    Args:
        path: Of the run or export that `model` was loaded from.
        model: LandmarkModel.
        photos: From `known_photos`; they are loaded while the application runs.
        limits: Limits.
        middleware: From `protection`.
    """
    recognition = Recognition(model, path)
    recognition.warm_up()
    handlers = _Handlers(recognition, path, photos, limits)
    app = web.Application(middlewares=[middleware])
    app.add_routes(
        [
            web.post("/predict", handlers.predict),
            web.post("/preview", handlers.preview),
            web.get("/model", handlers.describe_model),
            web.get("/photos/{split}/{number:[0-9]{1,12}}.jpg", handlers.known_photo),
            web.get("/openapi.json", handlers.openapi),
            web.get("/healthz", handlers.healthz),
            *(web.get(path, _page_part(*part)) for path, part in PAGE.items()),
        ]
    )
    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.append(handlers.running)
    return app


class _Handlers:
    """What the routes call; see `make_app` for the arguments."""

    def __init__(self, recognition: Recognition, path: Path, photos: KnownPhotos, limits: Limits):
        self._model = recognition.model
        self._recognition = recognition
        self._path = path
        self._photos = photos
        self._limits = limits
        self._admission = Admission(limits)
        self._batcher = Batcher(recognition.answer)
        # As many photos are decoded at once as there are cores: each may take MAX_MEMORY.
        self._decoders = ThreadPoolExecutor(available_cores(), "decoder")
        self._free_decoders = asyncio.Semaphore(available_cores())

    async def running(self, _: web.Application):
        """Computes, and loads the known photos, while the application runs."""
        loading = asyncio.create_task(asyncio.to_thread(self._photos.load, self._path, self._model))
        async with self._batcher.running():
            yield
        self._photos.stop()
        await loading
        self._decoders.shutdown(cancel_futures=True)

    async def predict(self, request: web.Request) -> web.Response:
        query = read_query(request.query, self._model)
        photo = await self._work(request, functools.partial(self._answer, query=query))
        return web.json_response(photo)

    async def preview(self, request: web.Request) -> web.Response:
        """Returns a photo as the model has it, as JPEG: browsers know fewer formats."""
        jpeg = await self._work(request, self._to_jpeg)
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def describe_model(self, _: web.Request) -> web.Response:
        colours = colormaps[COLOURS](np.linspace(0, 1, COLOUR_STEPS))[:, :3]
        examples = [_reference(one) for one in self._photos.examples]
        return web.json_response(
            {
                "name": self._path.resolve().name,
                "landmarks": self._model.landmarks,
                "image_size": self._model.image_size,
                "map": self._recognition.kind,
                "has_landmark_maps": self._recognition.is_run,
                "max_bytes": self._limits.photo_bytes,
                "examples": examples,
                "photos_note": self._photos.note,
                "is_loading_photos": not self._photos.loaded.is_set(),
                "colours": np.rint(255 * colours).astype(int).tolist(),
            }
        )

    async def known_photo(self, request: web.Request) -> web.Response:
        place = request.match_info["split"], int(request.match_info["number"])
        jpeg = await self._in_thread(self._photos.jpeg, *place)
        if jpeg is None:
            raise Refusal(404, "not found", "There is no such photo.")
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def openapi(self, _: web.Request) -> web.Response:
        return web.json_response(describe_api(self._limits))

    async def healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _work(self, request, answer):
        """Reads and decodes the photo of a request, within the limits; returns `answer` of it."""
        size = check_length(request, self._limits.photo_bytes)
        limits = self._limits
        with self._admission.request():
            async with within(limits.work_seconds + limits.body_seconds, busy):
                async with self._admission.memory(size):
                    async with within(limits.body_seconds, too_slow):
                        contents = await read_photo_body(request, limits.photo_bytes)
                    photo = await self._decode(contents)
                return await answer(photo)

    async def _decode(self, contents):
        # Waits here, not in the queue of the threads: that would keep the files of clients that
        # went away. A thread can't be stopped, so its place is free when it is done.
        await self._free_decoders.acquire()
        decoding = asyncio.ensure_future(
            self._in_thread(read_photo, contents, self._model.short_side)
        )
        decoding.add_done_callback(lambda _: self._free_decoders.release())
        try:
            return await asyncio.shield(decoding)
        except PhotoError as error:
            status = STATUS.get(error.reason, UNUSABLE)
            detail = REASONS[error.reason]
            raise Refusal(status, error.reason, f"{detail[0].upper()}{detail[1:]}.") from error

    async def _answer(self, photo: bytes, query: Query):
        answer: Answer = await self._batcher.answer(Question(photo, query.label))
        best = self._model.landmarks.index(answer.prediction.landmarks[0])
        about = best if query.label is None else query.label
        neighbours = []
        if query.neighbours and answer.embedding is not None:
            neighbours = self._photos.nearest(answer.embedding, about, query.neighbours)
        with Image.open(io.BytesIO(photo)) as image:
            width, height = image.size
        window = eval_window(height, width, self._model.framing).tolist()
        return {
            **_as_json(answer, query, window),
            "photo": {"width": width, "height": height},
            "neighbours": [
                _reference(one) | {"similarity": round(one.similarity, 4)} for one in neighbours
            ],
        }

    async def _to_jpeg(self, photo: bytes):
        def encode():
            out = io.BytesIO()
            Image.open(io.BytesIO(photo)).save(out, "JPEG", quality=90)
            return out.getvalue()

        return await self._in_thread(encode)

    async def _in_thread(self, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(
            self._decoders, function, *arguments
        )


def _page_part(name, kind):
    contents = (files("glr_keras.serving") / "page" / name).read_bytes()

    async def send(_: web.Request) -> web.Response:
        return web.Response(body=contents, content_type=kind, charset="utf-8")

    return send


def _as_json(answer, query, window):
    prediction = answer.prediction
    pairs = zip(prediction.landmarks[: query.top], prediction.scores.tolist(), strict=False)
    landmarks = [{"landmark": name, "score": round(score, 6)} for name, score in pairs]
    values = [[round(value, 4) for value in row] for row in answer.saliency.tolist()]
    return {
        "landmarks": landmarks,
        "is_landmark": getattr(prediction, "is_landmark", None),
        "p_value": getattr(prediction, "p_value", None),
        "map": {
            "kind": answer.kind,
            "landmark": query.landmark,
            "window": [round(end, 6) for end in window],
            "values": values,
        },
    }


def _reference(photo: Neighbour):
    return {"landmark": photo.landmark, "photo": f"photos/{photo.split}/{photo.number}.jpg"}
