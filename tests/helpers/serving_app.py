"""The web application of a model on loopback for the time of a test, and requests to it."""

import asyncio
import http.client
import json
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiohttp import web

from glr_keras.serving.application import make_app
from glr_keras.serving.known_photos import known_photos
from glr_keras.serving.limits import Limits
from glr_keras.serving.protection import protection


@contextmanager
def serving_model(path, model, limits=None, hosts=(), origins=(), show_photos=True):
    """Serves `model`, the run or the export in `path`, in a thread; gives the address."""
    photos = known_photos(path, None, show_photos, model.landmarks)
    app = make_app(path, model, photos, limits or Limits(), protection(hosts, origins))
    with running(app) as address:
        assert photos.loaded.wait(600)
        yield address


@contextmanager
def running(app):
    """Serves an `aiohttp` application as `glr_keras.app` does."""
    loop, ports, stop = asyncio.new_event_loop(), [], asyncio.Event()
    is_ready = threading.Event()

    async def serve():
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        is_ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert is_ready.wait(600)
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def ask(address, path, body=None, method=None, **headers):
    """Returns status, headers and body of a request; a body of JSON is parsed."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        response = connection.getresponse()
        contents = response.read()
    finally:
        connection.close()
    if response.headers.get_content_type() == "application/json":
        contents = json.loads(contents)
    return response.status, response.headers, contents


def as_form(contents, name="photo", filename="a.jpg"):
    """Returns the body of a form with a text and a file, and its type."""
    file = f'; filename="{filename}"' if filename else ""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nmy photo\r\n',
        f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode(),
        contents,
        b"\r\n--edge--\r\n",
    ]
    return b"".join(parts), "multipart/form-data; boundary=edge"
