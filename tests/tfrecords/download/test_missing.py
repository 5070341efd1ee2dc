"""How many photos may be missing, and what is said of them."""

from array import array
from dataclasses import replace

import pytest

from tfrecords.download.missing import MissingPhotosError, check_missing
from tfrecords.download.options import FetchOptions


def message_of(missing, total, folder, allowed="0%"):
    with pytest.raises(MissingPhotosError) as error:
        check_missing(missing, total, folder, replace(FetchOptions(), allow_missing=allowed))
    return str(error.value)


@pytest.mark.parametrize("total", [1, 3, 7, 100, 999, 4_132_914])
def test_the_percentage_that_is_proposed_is_enough_and_hardly_more(total, tmp_path):
    for count in {1, total // 3, 29 * total // 100, total} - {0}:
        missing = {("no answer", ""): array("L", range(count))}
        text = message_of(missing, total, tmp_path)
        percent = text.rpartition("--allow-missing ")[2].removesuffix(".")
        check_missing(missing, total, tmp_path, FetchOptions(allow_missing=percent))
        less = f"{max(0, float(percent[:-1]) - 0.2):.1f}%"
        message_of(missing, total, tmp_path, less)


def test_the_most_frequent_causes_are_shown(tmp_path):
    missing = {("server error", f"HTTP {500 + i}"): array("L", range(i + 1)) for i in range(7)}
    lines = message_of(missing, 1000, tmp_path).splitlines()
    assert lines[0] == "28 of 1,000 photos are not fetched yet, and nothing was built:"
    assert lines[1:-1] == [
        *(f"  {i + 1} server error (HTTP {500 + i})" for i in (6, 5, 4, 3, 2)),
        "  3 for other reasons",
    ]


def test_refusals_and_silence_get_a_hint(tmp_path):
    text = message_of({("refused", "HTTP 403"): array("L", [0])}, 9, tmp_path)
    assert "add --user-agent with your project and address" in text
    assert "check the network" not in text
    text = message_of({("no answer", ""): array("L", [0])}, 9, tmp_path)
    assert "check the network" in text
    assert "--user-agent" not in text


def test_nothing_missing_is_fine(tmp_path):
    check_missing({}, 5, tmp_path, FetchOptions())
