"""Many clients at once: each gets the answer to its own photo, and memory stays."""

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from photo_files import encode
from PIL import Image
from serving_app import as_form, ask, serving_model

from glr_keras.serving.limits import Limits
from tfrecords.common.parallel import available_cores
from tfrecords.common.types import MAX_MEMORY

CLIENTS = 16
GIANTS = 50


def resident(kind="VmRSS"):
    """Megabytes of memory that this process has now, or had at most (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def requests_of(photos, count, seed):
    """Draws requests: (contents, headers, expected status)."""
    draw = random.Random(seed)
    requests = []
    for _ in range(count):
        contents = draw.choice(photos)
        kind = draw.choices(("raw", "form", "broken", "text", "empty"), (60, 25, 6, 6, 3))[0]
        if kind == "form":
            body, content_type = as_form(contents)
            requests.append((contents, body, {"Content_Type": content_type}, 200))
        else:
            body, status = {
                "raw": (contents, 200),
                "broken": (contents[:900], 422),
                "text": (b"hello", 415),
                "empty": (b"", 400),
            }[kind]
            requests.append((contents, body, {}, status))
    return requests


def check_answers(address, photos, requests):
    """Sends all requests from `CLIENTS` clients; each answer must be its own photo's."""

    def send(request):
        _, body, headers, _ = request
        return ask(address, "/predict?top=100", body, **headers)

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(send, requests))
    for (contents, _, _, status), (found, _, answer) in zip(requests, answers, strict=True):
        assert found == status, answer
        if status == 200:
            expected = photos[contents]
            assert answer["landmarks"][0]["landmark"] == expected.landmarks[0]
            scores = [one["score"] for one in answer["landmarks"]]
            np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


@pytest.fixture(scope="module")
def photos(small_model, demo_photos):
    """Photos and what the model says of each."""
    contents = [path.read_bytes() for path in demo_photos[::2]]
    return dict(zip(contents, small_model.predict(contents, top=100), strict=True))


def test_clients_at_once_get_the_answers_of_their_photos(small_run, small_model, photos):
    with serving_model(small_run, small_model) as address:
        check_answers(address, photos, requests_of(list(photos), 48, seed=0))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_500_mixed_requests_are_answered_in_flat_memory(small_run, small_model, photos):
    memory = []
    with serving_model(small_run, small_model) as address:
        for seed in range(2):
            check_answers(address, photos, requests_of(list(photos), 250, seed))
            memory.append(resident())
    print(f"memory after 250 and 500 requests: {memory[0]:.0f} and {memory[1]:.0f} MB")
    assert memory[1] < memory[0] + 50


def test_a_client_that_goes_away_leaves_the_others_alone(small_run, small_model, photos):
    contents, expected = next(iter(photos.items()))
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(contents)}\r\n\r\n"
    with serving_model(small_run, small_model, Limits(requests=4)) as address:
        server = urlsplit(address).hostname, urlsplit(address).port
        for sent in (0, 100, len(contents)):  # announced, half sent, sent but not answered
            for _ in range(4):
                with socket.create_connection(server) as client:
                    client.sendall(head.encode() + contents[:sent])
        for _ in range(1000):  # until the server has seen that they are gone
            answer = ask(address, "/predict", contents)
            if answer[0] != 503:
                break
    assert answer[2]["landmarks"][0]["landmark"] == expected.landmarks[0]


@pytest.mark.slow
def test_50_simultaneous_giants_are_answered_or_told_to_come_again(small_run, small_model, photos):
    giant = encode(Image.new("RGB", (10_000, 10_000), "teal"), "PNG", compress_level=1)
    contents, expected = next(iter(photos.items()))
    before = resident("VmHWM")
    start = threading.Barrier(GIANTS)

    def send(_):
        start.wait()
        return ask(address, "/predict", giant)

    with (
        serving_model(small_run, small_model, Limits(requests=20)) as address,
        ThreadPoolExecutor(GIANTS) as clients,
    ):
        answers = list(clients.map(send, range(GIANTS)))
        after = ask(address, "/predict", contents)
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 20
    assert all(headers["Retry-After"] == "2" for status, headers, _ in answers if status == 503)
    assert after[2]["landmarks"][0]["landmark"] == expected.landmarks[0]
    most = MAX_MEMORY / 2**20  # of one photo; as many are decoded at once as there are cores
    assert resident("VmHWM") - before < (available_cores() + 1) * most
