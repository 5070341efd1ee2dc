"""Builds from URLs: what does not come in time never makes a smaller dataset."""

import csv
import os

import pytest

from tfrecords.build import build
from tfrecords.download.missing import MissingPhotosError
from tfrecords.options import parse_options

FAST = ("--allow-private", "--backoff", "0.01", "--max-wait", "0.02", "--retries", "1")
GOOD = [f"/jpeg/{i}" for i in range(10)]


@pytest.fixture
def flags_for(server, tmp_path):
    """Flags of a build of these paths of the server, every second one of another landmark."""

    def make(paths, *flags):
        rows = [f"p{i:02},{server.url(path)},{i % 2}" for i, path in enumerate(paths)]
        (tmp_path / "index.csv").write_text("\n".join(["id,url,landmark_id", *rows]))
        paths = ["--csv", tmp_path / "index.csv", "--out", tmp_path / "out"]
        return [*map(str, paths), "--download", *FAST, *map(str, flags)]

    return make


def skipped(out):
    with open(out / "skipped.csv", newline="") as file:
        return {row["photo"]: row["reason"] for row in csv.DictReader(file)}


def test_a_server_in_trouble_stops_the_build_and_the_same_command_ends_it(
    server, flags_for, run_python, tmp_path
):
    flags = flags_for([*GOOD, *(f"/down/down{i}" for i in range(4))])
    stopped = run_python("-m", "tfrecords.build", *flags)
    assert stopped.returncode == 3
    assert "error: 4 of 14 photos are not fetched yet, and nothing was built:\n" in stopped.stderr
    assert stopped.stderr.endswith(" to build without it, add --allow-missing 28.6%.\n")
    assert f"another --out uses them too, with --photos {tmp_path}/out.photos.\n" in stopped.stdout
    assert not (tmp_path / "out").exists()
    server.gate.set()
    build(parse_options(flags))
    assert skipped(tmp_path / "out") == {}
    assert {server.requests[path] for path in GOOD} == {1}


def test_a_build_without_what_is_missing_must_be_asked_for(flags_for, tmp_path):
    paths = [*GOOD, "/down/0"]
    with pytest.raises(MissingPhotosError):
        build(parse_options(flags_for(paths, "--allow-missing", "5%")))
    build(parse_options(flags_for(paths, "--allow-missing", "10%")))
    assert skipped(tmp_path / "out") == {"p10": "server error"}


def test_what_is_damaged_is_fetched_again_on_demand(server, flags_for, tmp_path):
    paths = [*GOOD, "/damaged-once/x"]
    photos = ("--photos", tmp_path / "photos")
    for flags, reasons in (
        ((), {"p10": "damaged"}),
        ((), {"p10": "damaged"}),
        (("--retry-failed",), {}),
    ):
        build(parse_options(flags_for(paths, *photos, *flags)))
        assert skipped(tmp_path / "out") == reasons
        os.rename(tmp_path / "out", tmp_path / f"out{len(list(tmp_path.iterdir()))}")
    assert server.requests["/damaged-once/x"] == 2
