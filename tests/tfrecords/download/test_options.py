"""Values that no download can use."""

import re

import pytest

from tfrecords.common.console import UserError
from tfrecords.download.options import FetchOptions


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("workers", 0, "--workers must be more than 0, got 0"),
        ("per_host", -1, "--per-host must be more than 0, got -1"),
        ("timeout", float("nan"), "--timeout must be more than 0, got nan"),
        ("max_bytes", 0, "--max-bytes must be more than 0, got 0"),
        ("allow_missing", "101%", "--allow-missing must be a percentage from 0% to 100%, such as "),
        ("allow_missing", "5", "--allow-missing must be a percentage from 0% to 100%, such as 5%"),
        ("retries", -1, "--retries must be 0 or more, got -1"),
        ("host_delay", -0.5, "--host-delay must be 0 or more, got -0.5"),
        ("user_agent", " ", "--user-agent must be a line of ASCII text, got  "),
        ("user_agent", "a\r\nHost: b", "--user-agent must be a line of ASCII text, got a"),
    ],
)
def test_options_out_of_range_are_named(name, value, text):
    with pytest.raises(UserError, match=re.escape(text)):
        FetchOptions(**{name: value})
