"""A real HTTP server on loopback that serves photos well, badly or not at all, by path."""

import email.utils
import gzip
import http.server
import io
import random
import threading
import time
from collections import Counter
from urllib.parse import unquote

from PIL import Image

BODY = 20_000  # bytes of a photo
TAKE = 0.05  # seconds that a slow photo takes


def photo_bytes(name: str) -> bytes:
    """What `/good/NAME` serves; another name gives other bytes. JPEG only at its start: nobody
    decodes it here."""
    return b"\xff\xd8\xff\xe0" + (name.encode() * BODY)[:BODY]


class PhotoServer(http.server.ThreadingHTTPServer):
    """Counts what it is asked for.

    Attributes:
        requests: Path -> how often it was asked for.
        headers: Those of the last request.
        connections: How many connections were made.
        peak: Most photos of `/together/N` and `/slow` that were asked for at once.
        gate: What `/gated` waits for.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address="127.0.0.1", port=0):
        super().__init__((address, port), _Handler)
        self.requests = Counter()
        self.headers = {}
        self.connections = 0
        self.peak = 0
        self.gate = threading.Event()
        self.closing = threading.Event()
        self._under_way = 0
        self._lock = threading.Condition()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.name}{path}"

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def count(self, path):
        with self._lock:
            self.requests[path] += 1

    def take_time(self, until_peak=0):
        """Before anything is answered: a client that has its answer may well ask for more."""
        with self._lock:
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.peak >= until_peak, timeout=20)
        time.sleep(TAKE)
        with self._lock:
            self._under_way -= 1

    def handle_error(self, request, client_address):
        """The client hangs up on purpose in most of these tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's ACK

    def do_HEAD(self):
        """Whether this server can be reached; not counted."""
        self.answer(200)

    def do_GET(self):
        self.server.headers = dict(self.headers)
        self.server.count(self.path)
        path = self.path
        if path.startswith("http://"):  # as to a proxy
            path = "/" + path.split("/", 3)[3]
        kind, _, name = path[1:].partition("/")
        getattr(self, "serve_" + kind.replace("-", "_"))(name)

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def first_time(self):
        return self.server.requests[self.path] == 1

    def serve_good(self, name):
        self.answer(200, photo_bytes(name), Content_Type="image/jpeg")

    def serve_jpeg(self, name):
        """A photo that can be decoded; another name gives another one."""
        pixels = random.Random(name).randbytes(6 * 6 * 3)
        image = Image.frombytes("RGB", (6, 6), pixels).resize((64, 48), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG")
        self.answer(200, file.getvalue(), Content_Type="image/jpeg")

    def serve_damaged_once(self, name):
        """Only the start of a photo the first time, complete as far as HTTP knows."""
        if self.first_time():
            self.answer(200, photo_bytes(name))
        else:
            self.serve_jpeg(name)

    def serve_down(self, name):
        """A photo once the gate is open."""
        if self.server.gate.is_set():
            self.serve_jpeg(name)
        else:
            self.answer(500)

    def serve_slow(self, name):
        self.server.take_time()
        self.serve_good(name)

    def serve_together(self, name):
        """Answers once as many photos have been asked for at once as the path says."""
        self.server.take_time(int(name.split("/")[0]))
        self.serve_good(name)

    def serve_gated(self, name):
        while not self.server.closing.is_set():
            if self.server.gate.wait(0.02):
                return self.serve_good(name)

    def serve_open(self, name):
        """Opens the gate."""
        self.server.gate.set()
        self.serve_good(name)

    def serve_once(self, name):
        """A photo the first time, and then no more."""
        if self.first_time():
            self.serve_good(name)
        else:
            self.answer(404)

    def serve_status(self, name):
        """The status that the path starts with."""
        status = int(name.split("/")[0])
        self.answer(status, b"" if status in (204, 304) else b"no photo")

    def serve_partial(self, name):
        """206 with the Content-Range that the path says, and all the bytes."""
        self.answer(206, photo_bytes(name), Content_Range=f"bytes {unquote(name)}")

    def serve_as_status(self, name):
        """A photo with another status than 200."""
        self.answer(int(name.split("/")[0]), photo_bytes(name), Content_Type="image/jpeg")

    def serve_throttled(self, name):
        """429 until as many requests as the path says have been counted for all paths."""
        if self.server.requests.total() <= int(name.split("/")[0]):
            self.answer(429)
        else:
            self.serve_good(name)

    def serve_busy(self, name):
        """429 with Retry-After the first time."""
        if self.first_time():
            self.answer(429, Retry_After=name)
        else:
            self.serve_good(name)

    def serve_busy_until(self, name):
        """The same with a date."""
        soon = email.utils.formatdate(time.time() + 3600, usegmt=True)
        if self.first_time():
            self.answer(503, Retry_After=soon)
        else:
            self.serve_good(name)

    def serve_flaky(self, name):
        if self.first_time():
            self.answer(500)
        else:
            self.serve_good(name)

    def serve_cut_once(self, name):
        """A body that ends early the first time."""
        self.close_connection = self.first_time()
        body = photo_bytes(name)
        self.answer(200, body[: BODY // 2] if self.first_time() else body, len(body))

    def serve_stall(self, name):
        self.server.closing.wait()

    def serve_stall_later(self, name):
        self.answer(200, photo_bytes(name), length=2 * BODY)
        self.server.closing.wait()

    def drip(self, first):
        self.wfile.write(first)
        while not self.server.closing.wait(0.02):
            self.wfile.write(b"x")

    def serve_drip(self, name):
        self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")

    def serve_drip_header(self, name):
        self.drip(b"HTTP/1.1 200 OK\r\nX: ")

    def serve_drip_chunk_size(self, name):
        self.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;")

    def serve_drip_last(self, name):
        """The connection closes after this answer, so that its end is no error."""
        self.close_connection = True
        self.drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")

    def serve_endless(self, name):
        """No length at all."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.server.closing.is_set():
            self.wfile.write(bytes(BODY))

    def serve_endless_chunks(self, name):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.server.closing.is_set():
            self.wfile.write(b"%x\r\n%b\r\n" % (BODY, bytes(BODY)))

    def serve_announced(self, name):
        """As many bytes as the path says, announced and not sent."""
        self.answer(200, photo_bytes(name), length=int(name))

    def serve_chunks(self, name):
        self.send_chunks(photo_bytes(name), b"0\r\n\r\n")

    def serve_truncated_chunks(self, name):
        self.close_connection = True
        self.send_chunks(photo_bytes(name), b"")

    def send_chunks(self, body, end):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 7_000):
            part = body[start : start + 7_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(end)

    def serve_unannounced(self, name):
        """Neither length nor chunks: the body ends with the connection."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + photo_bytes(name))

    def serve_gzip(self, name):
        self.answer(200, gzip.compress(photo_bytes(name)), Content_Encoding="gzip")

    def serve_gzip_bomb(self, name):
        self.answer(200, gzip.compress(bytes(100 * BODY)), Content_Encoding="gzip")

    def serve_short(self, name):
        """Fewer bytes than announced."""
        self.close_connection = True
        self.answer(200, photo_bytes(name), length=BODY + 1000)

    def serve_truncated(self, name):
        """Half a photo, complete as far as HTTP knows."""
        self.answer(200, photo_bytes(name)[: BODY // 2])

    def serve_empty(self, name):
        self.answer(200)

    def serve_as_html(self, name):
        self.answer(200, photo_bytes(name), Content_Type="text/html; charset=utf-8")

    def serve_json(self, name):
        self.answer(200, b'{"error": "quota exceeded"}', Content_Type="application/json")

    def serve_odd_type(self, name):
        self.answer(200, b"no photo", Content_Type="no\xfftype/\x01")

    def serve_hidden_page(self, name):
        page = b"\xef\xbb\xbf\n  <!DOCTYPE html><title>Photo removed</title>"
        self.answer(200, page, Content_Type="image/jpeg")

    def serve_to(self, name):
        """A redirect to what follows `/to/`, as UTF-8."""
        self.answer(302, b"moved", Location=unquote(name, "latin-1"))

    def serve_loop(self, name):
        self.answer(301, Location=f"/loop/{int(name) + 1}")

    def serve_garbage(self, name):
        self.close_connection = True
        self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    def serve_hang_up(self, name):
        self.close_connection = True
