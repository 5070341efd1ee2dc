"""A build on Apache Beam gives what a build on one machine gives."""

import json
import sys

import pytest
from photo_files import encode, grain

from tfrecords.beam.options import parse_beam_options
from tfrecords.beam.pipeline import prepare_with_beam, write_with_beam
from tfrecords.build import build
from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.prepared import prepare
from tfrecords.options import BuildOptions
from tfrecords.records.writer import write_shards
from tfrecords.sources.source import FileReader
from tfrecords.validation.runner import check

# TFDS reads a field that protobuf 6 calls deprecated; Apache Beam asks for a protobuf below 7.
pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated:DeprecationWarning")

SHORT_SIDE = 36
TWO_PROCESSES = ("DirectRunner", "direct_num_workers=2,direct_running_mode=multi_processing")
NAMES = ["Big Ben", "Mole Antonelliana", "Petra"]
LABELS = {"7": 0, "19": 1, "3": 2}
READ = FileReader().read
BAD = {
    "cut": Skipped("cut", "damaged", "OSError"),
    "empty": Skipped("empty", "empty"),
    "no": Skipped("no", "missing"),
    "page": Skipped("page", "not a photo"),
}


@pytest.fixture(scope="module")
def apache_beam():
    return pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install -e '.[beam]'")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """57 good photos of three landmarks and four bad ones."""
    folder = tmp_path_factory.mktemp("photos")
    photos = []
    for number in range(57):
        path = folder / f"{number}.jpg"
        path.write_bytes(photo_file(number))
        box = (0.1, 0.2, 0.3 + number / 100, 1.0)
        photos.append(Photo(f"é\\{number}", list(LABELS)[number % 3], str(path), box))
    (folder / "cut.jpg").write_bytes(photo_file(99)[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>Not found</html>")
    bad = [Photo(name, "7", str(folder / f"{name}.jpg")) for name in BAD]
    return photos + bad


def photo_file(number):
    return encode(grain(50, 40 + number % 9, number))


def outcome(photo):
    result = prepare(photo, READ, SHORT_SIDE)
    return result if isinstance(result, Skipped) else result[1]


def write_on_one_machine(folder, splits):
    folder.mkdir()
    write_shards(folder, NAMES, LABELS, splits, lambda photo: prepare(photo, READ, SHORT_SIDE)[0])
    return folder


def write_index(folder):
    """Photos of three landmarks, one that is none and one that is missing, and their index."""
    (folder / "photos").mkdir()
    photos = {f"{number:016x}": photo_file(number) for number in range(60)}
    photos["00000000000000ee"] = b"<html>Not found</html>"
    for photo_id, data in photos.items():
        (folder / "photos" / f"{photo_id}.jpg").write_bytes(data)
    rows = [f"{photo_id},{int(photo_id, 16) % 3}" for photo_id in (*photos, "00000000000000ff")]
    index = folder / "index.csv"
    index.write_text("\n".join(["id,landmark_id", *rows]) + "\n")
    return index


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def records(folder, split):
    """The serialized records of a split, in the order of its shards."""
    import tensorflow as tf

    paths = sorted(map(str, folder.glob(f"*-{split}.tfrecord-*")))
    return list(tf.data.TFRecordDataset(paths).as_numpy_iterator())


class BrokenReader:
    def __init__(self, message):
        self.message = message

    def read(self, photo):
        raise RuntimeError(self.message)


def test_two_processes_build_what_one_builds(apache_beam, tmp_path, capfd):
    index = write_index(tmp_path)
    choice = {"csv": index, "photos": tmp_path / "photos", "short_side": SHORT_SIDE}
    build(BuildOptions(out=tmp_path / "local", **choice))
    runner, options = TWO_PROCESSES
    capfd.readouterr()
    build(BuildOptions(out=tmp_path / "beam", beam_runner=runner, beam_options=options, **choice))
    printed = capfd.readouterr()
    assert printed.out.startswith(
        "Reading 62 photos on Apache Beam.\nWriting 60 records on Apache Beam.\n"
    )
    assert printed.err == ""
    local, on_beam = contents(tmp_path / "local"), contents(tmp_path / "beam")
    # TFDS notes there which builder wrote the records.
    assert local.pop("dataset_info.json") != on_beam.pop("dataset_info.json")
    manifests = [json.loads(files.pop("manifest.json")) for files in (local, on_beam)]
    for manifest in manifests:
        del manifest["files"]["dataset_info.json"]
    assert manifests[0] == manifests[1]
    assert on_beam == local
    assert check(tmp_path / "beam").findings == []
    assert on_beam["skipped.csv"].decode().splitlines()[1:] == [
        "00000000000000ee,not a photo,",
        "00000000000000ff,missing,",
    ]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["beam", "index.csv", "local", "photos"]


def test_outcomes_are_those_of_one_machine(apache_beam, photos, tmp_path):
    flags = parse_beam_options("DirectRunner")
    outcomes = prepare_with_beam(photos, READ, SHORT_SIDE, tmp_path / "work", flags)
    assert outcomes == {photo.photo_id: outcome(photo) for photo in photos}
    assert {name: outcomes[name] for name in BAD} == BAD


def test_many_shards_hold_the_records_in_the_same_order(apache_beam, photos, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    splits = {"train": photos[:29], "validation": photos[29:41]}
    local = write_on_one_machine(tmp_path / "local", splits)
    monkeypatch.setattr("tfrecords.beam.tfds_builder.SHARD_PHOTOS", 10)
    work = tmp_path / "work"
    (work / "google_landmarks" / "photos" / "1.0.0").mkdir(parents=True)  # an interrupted build's
    flags = parse_beam_options("DirectRunner")
    splits["test"] = []  # is left out
    folder = write_with_beam(work, NAMES, LABELS, splits, READ, SHORT_SIDE, flags)
    assert sorted(path.name for path in folder.glob("*.tfrecord-*")) == [
        "google_landmarks-train.tfrecord-00000-of-00003",
        "google_landmarks-train.tfrecord-00001-of-00003",
        "google_landmarks-train.tfrecord-00002-of-00003",
        "google_landmarks-validation.tfrecord-00000-of-00002",
        "google_landmarks-validation.tfrecord-00001-of-00002",
    ]
    assert records(folder, "train") == records(local, "train")
    assert records(folder, "validation") == records(local, "validation")
    assert tfds.builder_from_directory(folder).info.features["label"].names == NAMES


def test_what_an_interrupted_build_left_is_not_read(apache_beam, photos, tmp_path):
    (tmp_path / "outcomes-00007-of-00009.jsonl").write_text('["cut", "duplicate"]\n')
    flags = parse_beam_options("DirectRunner")
    outcomes = prepare_with_beam(photos[-4:], READ, SHORT_SIDE, tmp_path, flags)
    assert outcomes == BAD


def test_outcomes_that_did_not_arrive_are_missed(apache_beam, photos, tmp_path):
    flags = parse_beam_options("DirectRunner")
    with pytest.raises(UserError, match=r"what came of 2 photos in .*, found 1\. All workers must"):
        prepare_with_beam([photos[0], photos[0]], READ, SHORT_SIDE, tmp_path / "work", flags)


def test_what_a_worker_fails_of_reaches_the_user(apache_beam, photos, tmp_path):
    read = BrokenReader("the archive is on fire").read
    flags = parse_beam_options("DirectRunner")
    with pytest.raises(UserError, match=r"Beam failed: .*the archive is on fire .*\nWhat the work"):
        prepare_with_beam(photos, read, SHORT_SIDE, tmp_path / "work", flags)


def test_a_photo_that_goes_bad_between_the_runs_ends_the_build(apache_beam, photos, tmp_path):
    splits = {"train": photos}
    flags = parse_beam_options("DirectRunner")
    with pytest.raises(UserError, match=r"(cut|empty|no|page) was good when it was read first and"):
        write_with_beam(tmp_path / "work", NAMES, LABELS, splits, READ, SHORT_SIDE, flags)
    assert list(tmp_path.rglob("*.tfrecord*")) == []


def test_options_become_flags(apache_beam):
    assert parse_beam_options("FlinkRunner", "flink_master=host:8081, --parallelism=64,") == [
        "--no_save_main_session",
        "--default_sdk_harness_log_level=ERROR",
        "--runner=FlinkRunner",
        "--flink_master=host:8081",
        "--parallelism=64",
    ]


@pytest.mark.parametrize("name", ["DirectRunner", "direct"])
def test_direct_runner_does_not_download_prism(apache_beam, name):
    flags = parse_beam_options(name, "direct_num_workers=2")
    assert flags[2:] == [
        "--runner=DirectRunner",
        f"--update_compatibility_version={apache_beam.__version__}",
        "--direct_num_workers=2",
    ]


@pytest.mark.parametrize(
    ("runner", "options", "message"),
    [
        ("Hadoop", "", "Beam has no runner Hadoop .*To run on this machine: --beam-runner Direct"),
        ("no.such.Runner", "", "Beam has no runner no.such.Runner .*No module named 'no'"),
        ("DirectRunner", "direct_num_worker=2", "Beam knows no option direct_num_worker\\."),
        ("DirectRunner", "direct_num_workers=two", "direct_num_workers: invalid int value: 'two'"),
        ("DirectRunner", "direct_running_mode=fast", "direct_running_mode: invalid choice: 'fast'"),
    ],
)
def test_wrong_options_are_named(apache_beam, runner, options, message):
    with pytest.raises(UserError, match=message):
        parse_beam_options(runner, options)


def test_a_job_server_may_know_more_options(apache_beam, capfd):
    assert parse_beam_options("SparkRunner", "spark_only=1")[-1] == "--spark_only=1"
    assert capfd.readouterr() == ("", "")


def test_without_beam_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"needs Apache Beam .*pip install -e '\.\[beam\]'"):
        parse_beam_options("DirectRunner")
