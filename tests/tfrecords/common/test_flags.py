"""Numbers of flags: what is accepted, and what the message says of the rest."""

import argparse

import pytest

from tfrecords.common.flags import fraction, positive_int, proper_fraction


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (positive_int, "1", 1),
        (fraction, "0", 0.0),
        (fraction, "1", 1.0),
        (proper_fraction, ".5", 0.5),
    ],
)
def test_a_number_of_the_range_is_taken(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts", "expected"),
    [
        (positive_int, ["0", "-1", "1.5", "x", ""], "a whole number above 0"),
        (fraction, ["-0.1", "1.1", "nan", "x"], "a number in [0, 1]"),
        (proper_fraction, ["0", "1", "nan", "x"], "a number between 0 and 1"),
    ],
)
def test_any_other_text_is_refused_with_what_was_expected(parse, texts, expected):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError) as error:
            parse(text)
        assert str(error.value) == f"expected {expected}, got {text}"
