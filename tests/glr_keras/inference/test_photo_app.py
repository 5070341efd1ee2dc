"""An export behind a web server: every request answered, with the answer of its own photo."""

import base64
import json
import random
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from photo_app import make_app, running
from photo_files import encode
from PIL import Image

CLIENTS = 16


def post(address, files):
    """Returns status and answer of a request."""
    instances = [{"b64": base64.b64encode(contents).decode()} for contents in files]
    body = json.dumps({"instances": instances}).encode()
    try:
        with urllib.request.urlopen(address, data=body, timeout=120) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def large(demo_photos):
    """A photo of 40 megapixels."""
    return encode(Image.open(demo_photos[0]).resize((7680, 5212)))


@pytest.fixture(scope="module")
def kinds(demo_photos, large):
    """Requests by kind: lists of files, and the places of those that do not decode."""
    good = [path.read_bytes() for path in demo_photos]
    random.Random(0).shuffle(good)
    return {
        "good": ([[contents] for contents in good[:20]], []),
        "batch": ([good[start : start + 4] for start in range(20, 40, 4)], []),
        "broken": ([[good[0], contents[:900], good[1]] for contents in good[:5]], [1]),
        "empty": ([[b""]], [0]),
        "text": ([[b"<html>", good[2], b"hello"]], [0, 2]),
        "large": ([[large]], []),
        "none": ([[]], []),
    }


def ask_for(kinds, counts, seed=0):
    """Draws requests of each kind and mixes them."""
    draw = random.Random(seed)
    requests = []
    for kind, count in counts.items():
        lists, failing = kinds[kind]
        requests += [(draw.choice(lists), failing) for _ in range(count)]
    draw.shuffle(requests)
    return requests


def check_answers(answers, requests, model):
    known = {}  # photos repeat
    for (status, answer), (files, failing) in zip(answers, requests, strict=True):
        if failing:
            assert status == 400
            assert f"[{' '.join(map(str, failing))}]" in answer["error"]
            continue
        assert status == 200
        assert len(answer["predictions"]) == len(files)
        for found, contents in zip(answer["predictions"], files, strict=True):
            if contents not in known:
                known[contents] = model.predict(contents)
            expected = known[contents]
            assert found["landmarks"][0] == expected.landmarks[0]
            np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)


@pytest.mark.slow
def test_clients_at_once_get_the_answers_of_their_photos(small_export, small_exported_model, kinds):
    requests = ask_for(kinds, {"good": 24, "batch": 6, "broken": 6, "empty": 3, "text": 2})
    requests += ask_for(kinds, {"large": 1, "none": 1})
    with running(make_app(small_export / "1")) as address, ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda request: post(address, request[0]), requests))
        assert post(address, [b""])[0] == 400
    check_answers(answers, requests, small_exported_model)


def resident():
    """Megabytes of memory that this process has now."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_500_mixed_requests_are_answered_in_flat_memory(small_export, small_exported_model, kinds):
    counts = {
        "good": 150,
        "batch": 50,
        "broken": 25,
        "empty": 10,
        "text": 10,
        "large": 4,
        "none": 1,
    }
    halves = [ask_for(kinds, counts, seed) for seed in range(2)]
    assert sum(map(len, halves)) == 500
    memory = []
    with running(make_app(small_export / "1")) as address, ThreadPoolExecutor(CLIENTS) as clients:
        for requests in halves:
            answers = list(clients.map(lambda request: post(address, request[0]), requests))
            memory.append(resident())
            check_answers(answers, requests, small_exported_model)
    print(f"memory after 250 and 500 requests: {memory[0]:.0f} and {memory[1]:.0f} MB")
    assert memory[1] < memory[0] + 100
