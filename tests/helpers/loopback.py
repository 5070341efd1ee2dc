"""HTTP servers on loopback for the time of a test."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(handler: type) -> Iterator[str]:
    """Serves with `handler` in threads, without a log; gives the address."""
    quiet = type("Quiet", (handler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def serving_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves the files of `folder`; gives the address and the paths asked for so far."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_request(self, *_):
            asked.append(self.path)

    with serving(Handler) as address:
        yield address, asked
