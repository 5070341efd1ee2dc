"""Ids become file names or are refused."""

from pathlib import Path

import pytest

from tfrecords.sources.photo_paths import clean_path, is_safe_name, locate, photo_path

PLAIN = ["7", "IMG_2041", "eiffel tower", "été-2019", "塔", "a.b", "a" * 200]
NEARLY_HEX = ["0123456789abcde", "0123456789abcdefg", "0123456789abcdef0"]
NEARLY_DEVICES = ["console", "nul7", "com", "company"]

ELSEWHERE = [".", "..", "../x", "x/..", "/etc/passwd", "a/b", "a\\b", "..\\x", "a..b", "C:x"]
HIDDEN_OR_CUT = ["", ".hidden", " a", "a ", "a.", "a" * 201, "é" * 101]
CONTROL = [
    "-\n",
    "a\nb",
    "a\tb",
    "a\0b",
    "\x7f",
    "\x85",
    "\ud800",
    "\u202egpj",
    "\u2028",
    "\ufeffa",
]
WINDOWS = ["a:b", "a*", "a?", 'a"', "a<b", "a>b", "a|b", "con", "NUL", "aux.x", "Com1", "lpt9.a.b"]
HEX_AND_MORE = ["0123456789abcdef\n", "0123456789abcde/", "../0123456789abcdef"]


@pytest.mark.parametrize("photo_id", ["0123456789abcdef", "0123456789ABCDEF"])
def test_sixteen_hex_digits_lie_three_folders_deep(photo_id):
    assert is_safe_name(photo_id)
    assert photo_path(Path("photos"), photo_id) == Path("photos/0/1/2", photo_id + ".jpg")


@pytest.mark.parametrize("photo_id", [*PLAIN, *NEARLY_HEX, *NEARLY_DEVICES])
def test_other_plain_names_lie_in_the_folder_itself(photo_id):
    assert is_safe_name(photo_id)
    assert photo_path(Path("photos"), photo_id) == Path("photos", photo_id + ".jpg")


@pytest.mark.parametrize(
    "photo_id", [*ELSEWHERE, *HIDDEN_OR_CUT, *CONTROL, *WINDOWS, *HEX_AND_MORE]
)
def test_names_that_could_lead_elsewhere_are_refused(photo_id):
    assert not is_safe_name(photo_id)


@pytest.mark.parametrize("place", ["0/1/2/", ""])
@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "png", "PNG", "webp", "tiff", "heic"])
def test_a_photo_is_found_deep_or_flat_with_any_ending(place, suffix, tmp_path):
    path = tmp_path / f"{place}0123456789abcdef.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    assert locate(tmp_path, "0123456789abcdef") == str(path)
    assert locate(tmp_path, "0123456789abcdef", ["gif"]) is None


def test_the_downloaded_file_comes_first_and_an_empty_one_never(tmp_path):
    deep, flat = photo_path(tmp_path, "0123456789abcdef"), tmp_path / "0123456789abcdef.jpg"
    deep.parent.mkdir(parents=True)
    assert locate(tmp_path, "0123456789abcdef") is None
    deep.touch()
    flat.write_bytes(b"flat")
    assert locate(tmp_path, "0123456789abcdef") == str(flat)
    deep.write_bytes(b"deep")
    assert locate(tmp_path, "0123456789abcdef") == str(deep)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.jpg", "a.jpg"),
        (" ./a/b c.jpg ", "a/b c.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        (".\\a\\b.jpg", "a/b.jpg"),
        ("../a.jpg", ""),
        ("a/../../b.jpg", ""),
        ("/etc/passwd", ""),
        ("C:\\a.jpg", ""),
        ("", ""),
        ("a\0b", ""),
        ("http://x/a.jpg", ""),
    ],
)
def test_a_path_of_an_index_stays_below_its_folder(text, path):
    assert clean_path(text) == path
