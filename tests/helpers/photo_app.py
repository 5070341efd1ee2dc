"""The smallest web application around an export: what TensorFlow Serving's REST API answers."""

import base64
import json
import threading
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import tensorflow as tf


def make_app(folder):
    """Returns a WSGI application: POST {"instances": [{"b64": ...}, ...]} gives "predictions"."""
    saved_model = tf.saved_model.load(folder)
    serve = saved_model.signatures["serving_default"]

    def app(environ, start_response):
        try:
            request = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            files = [base64.b64decode(one["b64"], validate=True) for one in request["instances"]]
            status, answer = "200 OK", {"predictions": predict(files)}
        except (tf.errors.InvalidArgumentError, ValueError, KeyError, TypeError) as error:
            status, answer = "400 Bad Request", {"error": str(error)}
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def predict(files):
        answer = serve(image_bytes=tf.constant(files, tf.string, [len(files)]))
        landmarks = [[name.decode() for name in row] for row in answer["landmarks"].numpy()]
        scores = answer["scores"].numpy().tolist()
        pairs = zip(landmarks, scores, strict=True)
        return [{"landmarks": names, "scores": values} for names, values in pairs]

    app.saved_model = saved_model  # its variables live as long as it does
    return app


@contextmanager
def running(app):
    """Serves `app` in threads; gives its address."""
    with make_server("127.0.0.1", 0, app, _Server, _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass
