"""What a user calls photos becomes files that TensorFlow decodes, or a reason why not."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_files import encode
from PIL import Image

from glr_keras.inference.photo_inputs import (
    check_sources,
    photo_paths,
    picture_path,
    read_photo,
)
from tfrecords.common.console import UserError
from tfrecords.images.decode import PhotoError, decode_photo


def picture(width=50, height=40):
    values = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3)
    return Image.fromarray((values % 251).astype(np.uint8))


def pixels(contents):
    return np.asarray(Image.open(io.BytesIO(contents)))


@pytest.mark.parametrize("style", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"])
def test_files_become_the_pixels_that_a_record_is_made_of(style, tmp_path):
    contents = encode(picture(), style)
    (tmp_path / "photo").write_bytes(contents)
    expected = np.asarray(decode_photo(contents, 32))
    assert expected.shape == (32, 40, 3)
    for photo in (contents, bytearray(contents), tmp_path / "photo", str(tmp_path / "photo")):
        np.testing.assert_array_equal(pixels(read_photo(photo, 32)), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "P", "I", "1"])
def test_images_become_exact_files(mode):
    photo = picture().convert(mode)
    contents = read_photo(photo, 64)
    assert pixels(contents).shape == (40, 50, 3)
    if mode == "RGB":
        np.testing.assert_array_equal(pixels(contents), np.asarray(photo))


def test_an_image_is_turned_by_its_exif_and_left_as_it_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.open(io.BytesIO(encode(picture(), "PNG", exif=exif)))
    contents = read_photo(photo, 64)
    np.testing.assert_array_equal(pixels(contents), np.rot90(np.asarray(picture()), -1))
    assert photo.size == (50, 40)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.int64, np.float16])
def test_arrays_become_exact_files(kind):
    values = np.asarray(picture()).astype(kind)
    np.testing.assert_array_equal(pixels(read_photo(values, 64)), np.asarray(picture()))
    grey = read_photo(values[..., 0], 64)
    np.testing.assert_array_equal(pixels(grey), np.asarray(picture())[..., [0, 0, 0]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5, 4)), r"expected a photo \(height, width, 3\).*got shape \(4, 5, 4\)"),
        (np.zeros((2, 4, 5, 3)), r"got shape \(2, 4, 5, 3\)"),
        (np.zeros((0, 5, 3)), r"got shape \(0, 5, 3\)"),
        (np.full((4, 5, 3), 256), r"numbers in \[0, 255\], got 256 to 256"),
        (np.full((4, 5, 3), -1.0), "got -1 to -1"),
        (np.full((4, 5, 3), np.nan), "got nan to nan"),
        (np.full((4, 5, 3), 0.5), "none above 1; multiply by 255"),
        (np.full((4, 5, 3), "a"), "got <U1"),
    ],
)
def test_arrays_that_are_no_photos_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        read_photo(array, 32)


@pytest.mark.parametrize("photo", [None, 5, iter([])])
def test_what_is_no_photo_at_all_is_refused(photo):
    with pytest.raises(TypeError, match="expected a path, bytes, an image or an array, got"):
        read_photo(photo, 32)


def test_what_cannot_be_read_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    damaged = Image.open(io.BytesIO(encode(picture(400, 400), "PNG")[:3000]))
    for photo, reason in [
        (tmp_path / "none.jpg", "missing"),
        (tmp_path, "folder"),
        (tmp_path / "pipe", "unreadable"),
        ("a\0b", "missing"),
        (b"", "empty"),
        (b"<html>", "not a photo"),
        (encode(picture(400, 400), "AVIF")[:900], "damaged"),
        (damaged, "damaged"),
    ]:
        with pytest.raises(PhotoError, match=f"^{reason}$"):
            read_photo(photo, 32)


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.jpg", "b/10.jpg", "b/.hidden.jpg", "b/a/1.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_bytes(b"c.jpg\r\n\nb/2.jpg")
    return tmp_path


def test_photos_folders_and_lists_come_in_the_order_given(album):
    check_sources(["c.jpg", "b", "list.txt"])
    found = list(photo_paths(["c.jpg", "b", "list.txt"]))
    assert found == ["c.jpg", "b/10.jpg", "b/2.jpg", "b/a/1.png", "c.jpg", "b/2.jpg"]


def test_a_dash_reads_paths_from_standard_input(album, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"c.jpg\nno\xff.jpg\n")))
    check_sources(["-"])
    assert list(photo_paths(["-"])) == ["c.jpg", os.fsdecode(b"no\xff.jpg")]


def test_a_byte_order_mark_is_no_part_of_a_path(album, monkeypatch):
    (album / "bom.txt").write_bytes(b"\xef\xbb\xbfc.jpg\r\nb/2.jpg\r\n")
    check_sources(["bom.txt"])
    assert list(photo_paths(["bom.txt"])) == ["c.jpg", "b/2.jpg"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfc.jpg\n")))
    assert list(photo_paths(["-"])) == ["c.jpg"]
    (album / "wide.txt").write_bytes("c.jpg\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"in UTF-16\. Save it as UTF-8"):
        check_sources(["wide.txt"])


def test_folders_that_are_not_walked_into_are_named(album, tmp_path_factory, capsys):
    (album / "b" / "away").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    assert list(photo_paths(["b"])) == ["b/10.jpg", "b/2.jpg", "b/a/1.png"]
    assert capsys.readouterr().err.startswith("warning: b/away: link: a link out of the photo")


def test_a_list_is_read_as_it_is_needed(album):
    (album / "long.txt").write_text("c.jpg\n" * 10)
    paths = photo_paths(["long.txt"])
    assert next(paths) == "c.jpg"
    (album / "long.txt").unlink()
    assert len(list(paths)) == 9


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "No file or folder nowhere. Expected photos, folders of photos, lists of"),
        ("empty", "The folder empty holds no photos."),
        ("empty.txt", "empty.txt lists no photos. Expected one path per line."),
        (
            "gone.txt",
            r"gone.txt lists 6 photos, of which 5 are not there: 0, 1, 2 and others.",
        ),
    ],
)
def test_missing_sources_are_named(album, source, message):
    (album / "empty").mkdir()
    (album / "empty.txt").write_text("\n")
    (album / "gone.txt").write_text("c.jpg\n0\n1\n2\n3\n4\n")
    with pytest.raises(UserError, match=message):
        check_sources(["c.jpg", source])


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("folder/a.jpg", "000007-a.png"),
        ("塔" * 83 + ".jpg", "000007-" + "塔" * 66 + ".png"),  # 200 bytes; a name takes 255
        ("a\nb.jpg", "000007-a\\nb.png"),
    ],
)
def test_the_picture_of_a_photo_of_any_name_has_one_that_file_systems_take(photo, name):
    assert picture_path(Path("maps"), 7, photo) == Path("maps", name)
