"""What a photo shows lies beside it, and files of other programs are safe."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from glr_keras.inference.landmark_model import Prediction
from glr_keras.predicting.locations import Location, locations_of
from glr_keras.predicting.sidecars import write_sidecar
from tfrecords.common.console import UserError

ANSWER = Prediction(["Schloß <A&B>", "other"], np.float32([0.75, 0.25]), np.float32([0.25, 0.75]))
LOCATIONS = {"Schloß <A&B>": Location(48.8584, -2.2945)}


def test_json_has_names_scores_and_the_place(tmp_path):
    photo = str(tmp_path / "a.jpg")
    assert write_sidecar(photo, ANSWER, "json", LOCATIONS) == ""
    assert json.loads((tmp_path / "a.jpg.json").read_text()) == {
        "software": "glr-keras",
        "photo": "a.jpg",
        "landmarks": [
            {"landmark": "Schloß <A&B>", "score": 0.75},
            {"landmark": "other", "score": 0.25},
        ],
        "latitude": 48.8584,
        "longitude": -2.2945,
    }


def test_xmp_has_keyword_score_and_position_in_the_standard_fields(tmp_path):
    assert write_sidecar(str(tmp_path / "a.jpg"), ANSWER, "xmp", LOCATIONS) == ""
    root = ElementTree.parse(tmp_path / "a.jpg.xmp").getroot()
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    about = root.find(f"{rdf}RDF/{rdf}Description")
    assert about.find(f"{{http://purl.org/dc/elements/1.1/}}subject/{rdf}Bag/{rdf}li").text == (
        "Schloß <A&B>"
    )
    exif = "{http://ns.adobe.com/exif/1.0/}"
    assert about.get(f"{exif}GPSLatitude") == "48,51.50400N"
    assert about.get(f"{exif}GPSLongitude") == "2,17.67000W"
    assert about.get("{urn:glr-keras:}Score") == "0.75"


def test_a_photo_of_another_place_gets_neither_keyword_nor_position(tmp_path):
    photo = str(tmp_path / "a.jpg")
    other = dataclasses.replace(ANSWER, is_landmark=False, p_value=0.01)
    assert write_sidecar(photo, other, "json", LOCATIONS) == ""
    row = json.loads((tmp_path / "a.jpg.json").read_text())
    assert (row["is_landmark"], row["p_value"], row.get("latitude")) == (False, 0.01, None)
    assert write_sidecar(photo, other, "xmp", LOCATIONS) == ""
    text = (tmp_path / "a.jpg.xmp").read_text()
    assert 'IsLandmark="False"' in text
    assert "subject" not in text
    assert "GPS" not in text


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("json", '{"rating": 5}'),
        ("json", "[]"),
        ("json", "no JSON"),
        ("xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2"/>'),
        ("xmp", "<broken"),
    ],
)
def test_a_sidecar_of_another_program_stays_as_it_is(tmp_path, style, text):
    sidecar = tmp_path / f"a.jpg.{style}"
    sidecar.write_text(text)
    problem = write_sidecar(str(tmp_path / "a.jpg"), ANSWER, style, {})
    assert problem == f"{sidecar} is of another program"
    assert sidecar.read_text() == text


@pytest.mark.parametrize("style", ["json", "xmp"])
def test_our_own_sidecar_is_replaced(tmp_path, style):
    photo = str(tmp_path / "a.jpg")
    write_sidecar(photo, ANSWER, style, {})
    before = (tmp_path / f"a.jpg.{style}").read_text()
    assert write_sidecar(photo, ANSWER, style, LOCATIONS) == ""
    assert (tmp_path / f"a.jpg.{style}").read_text() != before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_gone_is_no_silent_success(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_sidecar(str(tmp_path / "gone" / "a.jpg"), ANSWER, "json", {})


def test_locations_come_from_the_records_or_a_table(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"data_dir": str(data)}))
    assert locations_of(tmp_path) == {}
    (data / "landmarks.csv").write_text("label,name,train\n0,a,3\n")
    assert locations_of(tmp_path) == {}
    (data / "landmarks.csv").write_text("name,latitude,longitude\na,1.5,-2\nb,,\n")
    assert locations_of(tmp_path) == {"a": (1.5, -2.0)}
    table = tmp_path / "table.csv"
    table.write_bytes(b"\xef\xbb\xbfname,latitude,longitude,x\r\nc,-90,180,\r\n")
    assert locations_of(tmp_path, table) == {"c": (-90.0, 180.0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lat\n", "expected the columns name, latitude, longitude, got name, lat."),
        ("", "got none."),
        ("name,latitude,longitude\na,91,0\n", r"line 2: expected degrees .*got '91', '0'"),
        ("name,latitude,longitude\na,N48,0\n", r"line 2: expected degrees .*got 'N48', '0'"),
        ("name,latitude,longitude\na,nan,0\n", r"line 2: expected degrees"),
    ],
)
def test_a_bad_table_is_one_message(tmp_path, text, message):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        locations_of(tmp_path, table)
    with pytest.raises(UserError, match="can't be read as a table: No such file"):
        locations_of(tmp_path, tmp_path / "gone.csv")
