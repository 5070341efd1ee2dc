"""Whose box is whose, and what becomes of boxes of nobody."""

import re

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import NO_BOX, Photo
from tfrecords.sources.boxes import add_boxes, read_boxes
from tfrecords.sources.folder import list_folder

HEADER = "photo,ymin,xmin,ymax,xmax\n"
PHOTOS = [Photo("a/1.jpg", "a"), Photo("a/\u00e9.jpg", "a"), Photo("7", "b")]


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def boxes_of(tmp_path, *names):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "".join(f"{name},0,0,.5,1\n" for name in names), encoding="utf-8")
    photos, notes = add_boxes(PHOTOS, path)
    return [photo.photo_id for photo in photos if photo.box == (0, 0, 0.5, 1)], notes


@pytest.mark.parametrize(
    ("name", "photo_id"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("a\\1.jpg", "a/1.jpg"),
        ("./a/1.jpg", "a/1.jpg"),
        (" .\\a\\1.jpg ", "a/1.jpg"),
        ("a/e\u0301.jpg", "a/\u00e9.jpg"),
        ("7", "7"),
        ("7.jpg", "7"),
    ],
)
def test_a_photo_is_named_in_any_usual_way(name, photo_id, tmp_path):
    assert boxes_of(tmp_path, name) == ([photo_id], ["1 photos have a box (boxes.csv)."])


def test_rows_that_name_no_photo_are_counted(tmp_path):
    found, notes = boxes_of(tmp_path, "a/1.jpg", "b/1.jpg", "b/2.jpg")
    assert found == ["a/1.jpg"]
    path = tmp_path / "boxes.csv"
    assert notes[1:] == [f"warning: 2 of the 3 rows of {path} name no photo: b/1.jpg, b/2.jpg."]


def test_a_file_of_which_no_row_names_a_photo_is_refused(tmp_path):
    message = r"2 of the 2 rows of .* name no photo: x, y\. Expected paths below .*such as a/1\.jpg"
    with pytest.raises(UserError, match=message):
        boxes_of(tmp_path, "x", "y")


def test_boxes_file_gives_boxes_to_its_photos(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/x y.jpg")
    rows = "a/1.jpg,0.1,0.2,0.75,1\nb/x y.jpg,0,0,1,1\n"
    (tmp_path / "boxes.csv").write_text(HEADER + rows)
    listing = list_folder(tmp_path)
    assert [photo.box for photo in listing.photos] == [
        (0.1, 0.2, 0.75, 1.0),
        NO_BOX,
        (0.0, 0.0, 1.0, 1.0),
    ]


def test_no_boxes_file_no_boxes(tmp_path):
    assert read_boxes(tmp_path / "boxes.csv") == {}


def test_boxes_are_read_by_column_name(tmp_path):
    """As spreadsheets write them: byte-order mark, CRLF, other order, another column."""
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"\xef\xbb\xbfxmax,xmin,note,ymax,ymin,photo\r\n.4,.2,hi,.3,.1,a/1.jpg\r\n")
    assert read_boxes(path) == {"a/1.jpg": (0.1, 0.2, 0.3, 0.4)}


@pytest.mark.parametrize(
    "row",
    [
        "a/2.jpg,0.5,0,0.4,1",  # upside down
        "a/2.jpg,0,0.5,1,0.4",
        "a/2.jpg,0,0,1.1,1",  # pixels, perhaps
        "a/2.jpg,-0.1,0,1,1",
        "a/2.jpg,nan,0,1,1",
        "a/2.jpg,0,0,1,",
        "a/2.jpg,0,0,1",
        "a/2.jpg;0;0;1;1",
        "a/2.jpg,top,0,1,1",
    ],
)
def test_a_bad_box_names_its_file_and_line(row, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "a/1.jpg,0,0,1,1\n" + row + "\n")
    expected = f"{path}, line 3: expected photo,ymin,xmin,ymax,xmax with numbers in [0, 1], got "
    with pytest.raises(UserError, match=f"^{re.escape(expected)}"):
        read_boxes(path)


@pytest.mark.parametrize("header", ["file,ymin,xmin,ymax,xmax", "photo,top,left,bottom,right"])
def test_a_boxes_file_with_other_columns_is_refused(header, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(f"{header}\na/1.jpg,0,0,1,1\n")
    with pytest.raises(UserError, match=r"line 2: expected photo,ymin,xmin,ymax,xmax"):
        read_boxes(path)


def test_a_bad_box_after_an_empty_line_names_the_line_of_the_file(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "\na/1.jpg,0,0,1,2\n")
    with pytest.raises(UserError, match=r"boxes\.csv, line 3: "):
        read_boxes(path)


def test_a_boxes_file_that_is_no_utf8_is_a_user_error(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(HEADER.encode() + b"caf\xe9/1.jpg,0,0,1,1\n")
    with pytest.raises(UserError, match=r"boxes\.csv"):
        read_boxes(path)
