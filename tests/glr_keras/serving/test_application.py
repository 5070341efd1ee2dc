"""The API over real HTTP: the model's own answers, and a status for all that can be wrong."""

import asyncio
import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from photo_files import ORIENTATION, encode, picture
from PIL import Image
from serving_app import as_form, ask, serving_model

from glr_keras.data.records import open_records
from glr_keras.data.views import eval_window
from glr_keras.evaluation.baselines import pooled
from glr_keras.inference.loading import stored_views
from glr_keras.serving import application
from glr_keras.serving.limits import Limits
from glr_keras.serving.protection import HEADERS
from tfrecords.common.parallel import available_cores

LIMITS = Limits(photo_bytes=200_000)
HOST, ORIGIN = "photos.example", "https://partner.example"


@pytest.fixture
def run(small_model):
    return small_model


@pytest.fixture(scope="module")
def address(small_run, small_model):
    with serving_model(small_run, small_model, LIMITS, [HOST], [ORIGIN]) as address:
        yield address


@pytest.fixture(scope="module")
def photo(demo_photos):
    return demo_photos[7].read_bytes()


def predict(address, photo, query="", **headers):
    status, _, answer = ask(address, f"/predict{query}", photo, **headers)
    assert status == 200, answer
    return answer


def test_the_answer_is_the_models_own(address, run, photo):
    expected = run.explain(photo, top=3)
    answer = predict(address, photo, "?top=3")
    assert [one["landmark"] for one in answer["landmarks"]] == expected.landmarks
    scores = [one["score"] for one in answer["landmarks"]]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(answer["map"]["values"], expected.attention_map, atol=1e-3)
    assert (answer["map"]["kind"], answer["map"]["landmark"]) == ("attention", None)
    assert answer["neighbours"] == []
    for name in ("is_landmark", "p_value"):
        assert answer[name] in (None, getattr(expected, name, None))


def test_a_form_and_a_plain_body_get_the_same_answer(address, photo, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")  # a body written to disk would fail
    plain = predict(address, photo)
    for name, filename in (("photo", ""), ("upload", "a.jpg")):
        body, kind = as_form(photo, name, filename)
        assert predict(address, body, Content_Type=kind) == plain


def test_the_window_is_what_the_model_sees_of_the_upright_photo(address, run, photo):
    with Image.open(io.BytesIO(photo)) as image:
        exif = Image.Exif()
        exif[ORIENTATION] = 6  # a quarter turn to the right
        turned = encode(image.resize((400, 300)), exif=exif)
    answer = predict(address, turned)
    assert answer["photo"] == {"width": 256, "height": 341}
    window = eval_window(341, 256, run.framing)
    np.testing.assert_allclose(answer["map"]["window"], window, atol=1e-6)


def test_the_map_of_any_landmark_can_be_asked_for(address, run, photo):
    for landmark in run.landmarks[:2]:
        found = predict(address, photo, f"?landmark={landmark}")["map"]
        expected = run.explain(photo, landmark=landmark).attention_map
        assert (found["kind"], found["landmark"]) == ("class", landmark)
        np.testing.assert_allclose(found["values"], expected, atol=1e-3)


def test_neighbours_are_the_most_similar_photos_of_the_landmark(
    address, small_run, run, demo_data, photo
):
    records = open_records(demo_data)
    views = stored_views(small_run, run.recognizer, records, "train")
    label = 3
    (rows,) = np.nonzero(views.labels == label)
    embedding = run.embed(photo)
    similarities = pooled(views.first_view.rows(rows)) @ (embedding / np.linalg.norm(embedding))
    landmark = run.landmarks[label]
    found = predict(address, photo, f"?landmark={landmark}&neighbours=2")["neighbours"]
    order = np.argsort(-similarities)[:2]
    assert [one["photo"] for one in found] == [f"photos/train/{rows[i]}.jpg" for i in order]
    assert [one["landmark"] for one in found] == [landmark] * 2
    np.testing.assert_allclose([one["similarity"] for one in found], similarities[order], atol=1e-3)
    status, headers, jpeg = ask(address, f"/{found[0]['photo']}")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


def test_examples_show_different_landmarks_and_can_be_predicted(address):
    model = ask(address, "/model")[2]
    assert model["photos_note"] == ""
    names = [one["landmark"] for one in model["examples"]]
    assert len(set(names)) == len(names) == 6
    predict(address, ask(address, f"/{model['examples'][0]['photo']}")[2])


def test_a_preview_is_what_the_model_has(address):
    tiff = encode(picture(90, 70), "TIFF")
    status, headers, jpeg = ask(address, "/preview", tiff)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (90, 70))


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "empty"),
        (b"{}", 415, "not a photo"),
        (lambda photo: photo[:900], 422, "damaged"),
        (encode(picture(8, 8)), 422, "too small"),
        (b"\xff\xd8\xff" + bytes(200_000), 413, "too many bytes"),
    ],
)
def test_a_body_that_is_no_photo_gets_its_status(body, status, error, address, photo):
    found, _, answer = ask(address, "/predict", body(photo) if callable(body) else body)
    assert (found, answer["error"]) == (status, error)
    assert re.match(r"[A-Z].*\.$", answer["detail"])


def test_forms_without_a_photo_are_refused(address):
    body, kind = as_form(b"text", "other", "")
    assert ask(address, "/predict", body, Content_Type=kind)[0] == 400
    broken = ask(address, "/predict", b"no form", Content_Type="multipart/form-data")
    assert (broken[0], broken[2]["error"]) == (400, "bad request")
    assert ask(address, "/predict", b"no gzip", Content_Encoding="gzip")[0] == 400
    large, kind = as_form(bytes(250_000))
    assert ask(address, "/predict", large, Content_Type=kind)[0] == 413


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("top=0", "a number from 1 to 100 as top"),
        ("neighbours=x", "a number from 0 to 24 as neighbours"),
        ("landmark=nowhere", "does not know the landmark 'nowhere'"),
        ("tpo=3", "Unknown parameter 'tpo'"),
    ],
)
def test_a_wrong_parameter_is_explained(query, detail, address, photo):
    status, _, answer = ask(address, f"/predict?{query}", photo)
    assert (status, answer["error"]) == (400, "bad parameter")
    assert detail in answer["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/predict", 405),
        ("/nothing", 404),
        ("/photos/train/9999.jpg", 404),
        ("/photos/x/0.jpg", 404),
    ],
)
def test_what_is_not_there_is_json_too(path, status, address):
    found, _, answer = ask(address, path)
    assert (found, set(answer)) == (status, {"error", "detail"})


def test_every_answer_has_the_headers(address, photo):
    for path, body in (("/", None), ("/model", None), ("/nothing", None), ("/predict", photo)):
        headers = ask(address, path, body)[1]
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1234", 200),
        ("192.168.1.7", 200),
        ("[::1]:8000", 200),
        (HOST, 200),
        ("attacker.example", 403),
        ("127.0.0.1.attacker.example", 403),
        ("[::1", 403),
    ],
)
def test_only_known_names_of_the_host_are_answered(host, status, address):
    assert ask(address, "/healthz", Host=host)[0] == status


def test_pages_elsewhere_may_send_photos_only_where_allowed(address, photo):
    own = ask(address, "/predict", photo, Origin=address)
    assert own[0] == 200
    assert "Access-Control-Allow-Origin" not in own[1]
    for origin in ("https://attacker.example", "null", "http://127.0.0.1:1", "http://[::1"):
        assert ask(address, "/predict", photo, Origin=origin)[0] == 403
    allowed = ask(address, "/predict", photo, Origin=ORIGIN)
    assert (allowed[0], allowed[1]["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    preflight = ask(address, "/predict", method="OPTIONS", Origin=ORIGIN)
    assert (preflight[0], preflight[1]["Access-Control-Allow-Methods"]) == (204, "GET, POST")


def test_files_of_clients_that_went_away_do_not_wait_for_a_decoder(monkeypatch):
    is_free, submitted = threading.Event(), []

    class Decoders(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            submitted.append(arguments)
            return super().submit(function, *arguments)

    monkeypatch.setattr(application, "ThreadPoolExecutor", Decoders)
    monkeypatch.setattr(application, "read_photo", lambda *_: is_free.wait(60))
    model = SimpleNamespace(short_side=32)
    recognition = SimpleNamespace(model=model, answer=None)

    async def come_and_go():
        handlers = application._Handlers(recognition, Path(), None, LIMITS)
        for _ in range(3 * available_cores()):
            client = asyncio.create_task(handlers._decode(b"a large file"))
            await asyncio.sleep(0.01)
            client.cancel()
            await asyncio.wait([client])
        is_free.set()
        assert await handlers._decode(b"another one") is True

    asyncio.run(come_and_go())
    assert len(submitted) == available_cores() + 1


def test_openapi_describes_every_path_and_every_key(address, photo):
    api = ask(address, "/openapi.json")[2]
    assert set(api["paths"]) == {
        "/predict",
        "/preview",
        "/model",
        "/photos/{split}/{number}.jpg",
        "/openapi.json",
        "/healthz",
    }
    described = api["components"]["schemas"]["Answer"]["properties"]
    answer = predict(address, photo, "?neighbours=1")
    assert set(described) == set(answer)
    assert set(described["map"]["properties"]) == set(answer["map"])
    assert set(described["neighbours"]["items"]["properties"]) == set(answer["neighbours"][0])
    model = api["paths"]["/model"]["get"]["responses"]["200"]["content"]["application/json"]
    assert set(model["schema"]["properties"]) == set(ask(address, "/model")[2])
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(api)))
    assert references == set(api["components"]["schemas"])


def test_an_export_answers_and_says_what_it_lacks(small_export, small_exported_model, photo):
    expected = small_exported_model.explain(photo)
    with serving_model(small_export, small_exported_model) as address:
        answer = predict(address, photo, "?neighbours=3")
        refused = ask(address, f"/predict?landmark={expected.landmarks[0]}", photo)
        model = ask(address, "/model")[2]
    assert answer["landmarks"][0]["landmark"] == expected.landmarks[0]
    np.testing.assert_allclose(answer["map"]["values"], expected.attention_map, atol=1e-3)
    assert answer["neighbours"] == model["examples"] == []
    assert not model["has_landmark_maps"]
    assert "An export does not know the photos" in model["photos_note"]
    assert (refused[0], refused[2]["error"]) == (400, "bad parameter")


def test_photos_can_be_hidden(small_run, small_model):
    with serving_model(small_run, small_model, show_photos=False) as address:
        assert ask(address, "/model")[2]["photos_note"].endswith("(--no-photos).")
        assert ask(address, "/photos/train/0.jpg")[0] == 404
