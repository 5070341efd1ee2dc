"""Ids become file names or are refused."""

from pathlib import Path

import pytest

from tfrecords.sources.photo_paths import is_safe_name, photo_path

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
