"""A folder of photos becomes records that TFDS reads back, the same bytes every time."""

import csv
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import PIL
import pytest
from paths import REPOSITORY, SHARED
from photo_files import encode, grain
from PIL import Image

from tfrecords import build as build_module
from tfrecords.build import build
from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS
from tfrecords.download.options import FetchOptions
from tfrecords.images.convert import prepare_photo
from tfrecords.options import BuildOptions, parse_options

SHORT_SIDE = 48
GOOD = {
    "bridge": ["1.jpg", "2.JPEG", "3.png", "nested/4.jpg"],
    "église à Paris": ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "web page.jpg"],
    "tower": [f"{number}.jpg" for number in range(10)],
}
KEPT = sorted(f"{landmark}/{name}" for landmark, names in GOOD.items() for name in names)
BOXES = {"bridge/1.jpg": (0.1, 0.2, 0.75, 1.0), "tower/3.jpg": (0.0, 0.0, 0.5, 0.25)}
SKIPPED = """\
photo,reason,detail
bridge/empty.jpg,empty,
bridge/tiny.png,too small,40 x 31 pixels
loose.jpg,no landmark folder,
tower/broken.jpg,damaged,OSError
tower/copy of 0.jpg,duplicate,of tower/0.jpg
tower/gone.jpg,missing,
tower/notes.txt,not a photo,
"""
DIRTY = SHARED / "dirty"


def photo_file(number, file_format="JPEG"):
    """A photo unlike that of any other number; sides from 40 to 64 pixels."""
    height, width = 40 + number % 25, 64 - number % 23
    return encode(grain(width, height, number), file_format)


def folder_files():
    """Every file of the photo folder by its path: good ones, then what users have among them."""
    formats = {"bridge/3.png": "PNG", "église à Paris/web page.jpg": "WEBP"}
    files = {
        photo_id: photo_file(number, formats.get(photo_id, "JPEG"))
        for number, photo_id in enumerate(KEPT)
    }
    tiny = BytesIO()
    Image.new("RGB", (40, 31)).save(tiny, "PNG")
    rows = "".join(f"{photo_id},{','.join(map(str, box))}\n" for photo_id, box in BOXES.items())
    files |= {
        "tower/broken.jpg": photo_file(99)[:1500],
        "tower/notes.txt": b"to do: sort these",
        "bridge/empty.jpg": b"",
        "bridge/tiny.png": tiny.getvalue(),
        "loose.jpg": photo_file(98),
        "tower/copy of 0.jpg": files["tower/0.jpg"],
        "bridge/Thumbs.db": b"Windows",
        "boxes.csv": ("photo,ymin,xmin,ymax,xmax\n" + rows).encode(),
    }
    return files


def write_files(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "tower/gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "empty landmark").mkdir()


def write_photos(folder, photos_per_landmark):
    numbers = itertools.count()
    for landmark, count in photos_per_landmark.items():
        (folder / landmark).mkdir(parents=True)
        for number in range(count):
            (folder / landmark / f"{number}.jpg").write_bytes(photo_file(next(numbers)))
    return folder


def build_folder(photos, out, **options):
    build(BuildOptions(photos=photos, out=out, **options))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The records of the photo folder, and what the build printed."""
    root = tmp_path_factory.mktemp("built")
    write_files(root / "photos", folder_files())
    printed = StringIO()
    with redirect_stdout(printed):
        build_folder(root / "photos", root / "records", seed=5, short_side=SHORT_SIDE)
    assert sorted(os.listdir(root)) == ["photos", "records"]
    return root / "records", printed.getvalue()


@pytest.fixture(scope="module")
def records(built):
    return built[0]


@pytest.fixture(scope="module")
def tfds_builder(records):
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(records)


@pytest.fixture(scope="module")
def rows(tfds_builder):
    """Every record of every split, its image as the bytes on disk."""
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    return {
        split: list(tfds.as_numpy(tfds_builder.as_dataset(split=split, decoders=decoders)))
        for split in SPLITS
    }


def test_features_are_those_of_the_contract(tfds_builder):
    import tensorflow as tf

    assert tfds_builder.as_dataset(split="train").element_spec == {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
        "photo_id": tf.TensorSpec((), tf.string),
        "landmark_id": tf.TensorSpec((), tf.string),
        "box": tf.TensorSpec((4,), tf.float32),
    }
    assert tfds_builder.info.features["label"].names == sorted(GOOD)
    assert tfds_builder.info.supervised_keys == ("image", "label")
    assert sorted(tfds_builder.info.splits) == sorted(SPLITS)


def test_every_good_photo_is_in_exactly_one_split(rows):
    photo_ids = [row["photo_id"].decode() for split in SPLITS for row in rows[split]]
    assert sorted(photo_ids) == KEPT


def test_splits_hold_their_share_of_every_landmark(rows):
    counts = {
        split: Counter(row["landmark_id"].decode() for row in rows[split]) for split in SPLITS
    }
    assert counts == {
        "train": {"bridge": 2, "église à Paris": 3, "tower": 6},
        "validation": {"bridge": 1, "église à Paris": 1, "tower": 2},
        "test": {"bridge": 1, "église à Paris": 1, "tower": 2},
    }


def test_images_are_the_prepared_photos(rows):
    files = folder_files()
    for row in itertools.chain(*rows.values()):
        data = files[row["photo_id"].decode()]
        assert row["image"] == prepare_photo(data, SHORT_SIDE)
        image = Image.open(BytesIO(row["image"]))
        original = Image.open(BytesIO(data))
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert min(image.size) == min(SHORT_SIDE, *original.size)


def test_tfds_decodes_the_images(tfds_builder, rows):
    for row, stored in zip(
        tfds_builder.as_dataset(split="test").as_numpy_iterator(), rows["test"], strict=True
    ):
        width, height = Image.open(BytesIO(stored["image"])).size
        assert row["image"].shape == (height, width, 3)
        assert row["image"].dtype == np.uint8


def test_labels_match_the_landmarks_table(records, rows):
    landmarks = {int(line["label"]): line for line in read_csv(records / "landmarks.csv")}
    for row in itertools.chain(*rows.values()):
        landmark_id = row["landmark_id"].decode()
        assert landmarks[int(row["label"])]["landmark_id"] == landmark_id
        assert row["photo_id"].decode().startswith(landmark_id + "/")


def test_landmarks_table(records):
    assert (records / "landmarks.csv").read_text(encoding="utf-8") == (
        "label,landmark_id,name,train,validation,test\n"
        "0,bridge,bridge,2,1,1\n"
        "1,tower,tower,6,2,2\n"
        "2,église à Paris,église à Paris,3,1,1\n"
    )


def test_boxes_are_those_of_the_file_and_zero_elsewhere(rows):
    for row in itertools.chain(*rows.values()):
        expected = np.float32(BOXES.get(row["photo_id"].decode(), (0, 0, 0, 0)))
        assert row["box"].dtype == np.float32
        np.testing.assert_array_equal(row["box"], expected)


def test_skipped_photos_are_listed_with_their_reason(records):
    assert (records / "skipped.csv").read_text(encoding="utf-8") == SKIPPED


def test_manifest_says_how_the_records_were_made(records):
    manifest = json.loads((records / "manifest.json").read_text())
    for name in ("shards", "files", "versions"):
        del manifest[name]
    assert manifest == {
        "format": 1,
        "source": "folder",
        "choice": {
            "top": None,
            "skip_top": 0,
            "landmarks": None,
            "min_photos": 1,
            "max_photos": None,
        },
        "split": [70, 15, 15],
        "seed": 5,
        "short_side": SHORT_SIDE,
        "quality": 92,
        "photos": {"train": 11, "validation": 4, "test": 4},
        "near_duplicates": 0,
        "skipped": {
            "damaged": 1,
            "duplicate": 1,
            "empty": 1,
            "missing": 1,
            "no landmark folder": 1,
            "not a photo": 1,
            "too small": 1,
        },
    }


def test_manifest_names_the_libraries_that_decide_the_bytes(records):
    versions = json.loads((records / "manifest.json").read_text())["versions"]
    assert versions["pillow"] == PIL.__version__
    assert versions["numpy"] == np.__version__
    assert {"opencv", "jpg", "webp", "avif"} <= versions.keys()


def test_manifest_has_the_sha256_of_every_table(records):
    files = json.loads((records / "manifest.json").read_text())["files"]
    tables = {"dataset_info.json", "features.json", "label.labels.txt"}
    assert files.keys() == tables | {"landmarks.csv", "skipped.csv", "sources.csv"}
    for name, sha256 in files.items():
        assert sha256 == hashlib.sha256((records / name).read_bytes()).hexdigest()


def test_manifest_describes_every_shard(records, rows):
    import tensorflow as tf

    shards = json.loads((records / "manifest.json").read_text())["shards"]
    assert sorted(shard["file"] for shard in shards) == sorted(
        path.name for path in records.glob("*tfrecord*")
    )
    for shard in shards:
        path = records / shard["file"]
        data = path.read_bytes()
        assert shard["bytes"] == len(data)
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert shard["records"] == sum(1 for _ in tf.data.TFRecordDataset(str(path)))
    assert {shard["split"]: shard["records"] for shard in shards} == {
        split: len(rows[split]) for split in SPLITS
    }


def test_the_records_folder_holds_nothing_else(records):
    names = set(contents(records))
    assert {name for name in names if "tfrecord" not in name} == {
        "dataset_info.json",
        "features.json",
        "histogram.png",
        "label.labels.txt",
        "landmarks.csv",
        "manifest.json",
        "skipped.csv",
        "sources.csv",
    }


def test_summary_says_what_was_kept_and_what_was_left_out(built):
    records, printed = built
    assert printed == (
        "\n"
        "landmark             read       kept      train validation       test\n"
        "tower                  14         10          6          2          2\n"
        "église à Paris          5          5          3          1          1\n"
        "bridge                  6          4          2          1          1\n"
        "all                    25         19         11          4          4\n"
        "\n"
        "19 photos of 3 landmarks kept, 7 left out.\n"
        "  1 x damaged: the photo starts well and then ends early or is corrupt\n"
        "  1 x duplicate: an exact copy of another photo of its landmark, which is kept\n"
        "  1 x empty: the file has no bytes\n"
        "  1 x missing: it is listed, and no such file is there\n"
        "  1 x no landmark folder: the photo lies beside the landmarks' folders, not inside one\n"
        "  1 x not a photo: no decoder knows the file: a text, a web page, another kind of file\n"
        "  1 x too small: its short side has fewer than 32 pixels\n"
        "2 photos have a box (boxes.csv).\n"
        "1 hidden or system files and folders were passed over: Thumbs.db.\n"
        "warning: no good photo, so no landmark: empty landmark\n"
        f"Records are in {records}, what was left out in {records}/skipped.csv.\n"
    )


def test_another_folder_order_and_day_give_the_same_bytes(records, tmp_path):
    """Also over what a killed build left behind, and into an empty folder made beforehand."""
    files = folder_files()
    write_files(tmp_path / "elsewhere", dict(reversed(files.items())))
    for path in (tmp_path / "elsewhere").rglob("*.jpg"):
        if path.exists():
            os.utime(path, (0, 0))
    (tmp_path / "again").mkdir()
    (tmp_path / "again.part" / "records").mkdir(parents=True)
    (tmp_path / "again.part" / "records" / "half a shard").write_bytes(b"half a photo")
    build_folder(tmp_path / "elsewhere", tmp_path / "again", seed=5, short_side=SHORT_SIDE)
    assert contents(tmp_path / "again") == contents(records)
    assert not (tmp_path / "again.part").exists()


def test_another_seed_splits_otherwise(records, tmp_path):
    write_files(tmp_path / "photos", folder_files())
    build_folder(tmp_path / "photos", tmp_path / "out", seed=6, short_side=SHORT_SIDE)
    shard = "google_landmarks-test.tfrecord-00000-of-00001"
    assert (tmp_path / "out" / shard).read_bytes() != (records / shard).read_bytes()


def test_landmarks_with_one_or_two_photos_are_trained_on_and_named(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", {"a": 1, "b": 2, "c": 3})
    build_folder(photos, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "only trained on, never tested: a, b\n" in printed
    assert [
        (line["landmark_id"], line["train"], line["validation"], line["test"])
        for line in read_csv(tmp_path / "out" / "landmarks.csv")
    ] == [("a", "1", "0", "0"), ("b", "2", "0", "0"), ("c", "1", "1", "1")]


def test_a_landmark_whose_photos_are_all_bad_gets_no_label(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", {"a": 3, "c": 3})
    (photos / "b").mkdir()
    (photos / "b" / "1.jpg").write_bytes(b"<html>")
    build_folder(photos, tmp_path / "out")
    assert "no good photo, so no landmark: b\n" in capsys.readouterr().out
    names = [line["landmark_id"] for line in read_csv(tmp_path / "out" / "landmarks.csv")]
    assert names == ["a", "c"]


def test_a_line_break_in_a_folder_name_makes_no_further_landmark(tmp_path):
    import tensorflow_datasets as tfds

    photos = write_photos(tmp_path / "photos", {"two\nlines": 3, "tower": 3})
    build_folder(photos, tmp_path / "out")
    builder = tfds.builder_from_directory(tmp_path / "out")
    assert builder.info.features["label"].names == ["tower", "two\\nlines"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_already_is_not_touched(kind, tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "mine.txt").write_text("keep me")
    else:
        out.write_text("keep me")
    before = contents(tmp_path)
    expected = (
        f"{out} exists. Expected a folder that is not there yet: name another --out, or delete "
        "this one if you want to build it again."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        build_folder(photos, out)
    assert contents(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["out", "photos"]


def test_out_below_a_file_is_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    (tmp_path / "file").write_text("keep me")
    out = tmp_path / "file" / "out"
    with pytest.raises(UserError, match=rf"^Can't write to {out} \(.+\)\. Name another --out\.$"):
        build_folder(photos, out)
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is where nobody can write")
def test_out_where_nobody_can_write_is_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    with pytest.raises(UserError, match=r"^Can't write to /proc/nowhere/out \("):
        build_folder(photos, Path("/proc/nowhere/out"))


def test_out_that_links_to_an_empty_folder_is_refused(tmp_path):
    """As is an empty mounted disk, this is a folder that can't be removed and made again."""
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    (tmp_path / "big disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "big disk")
    with pytest.raises(UserError, match=r"^Can't write to .+/out \(Not a directory\)\. Name"):
        build_folder(photos, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["big disk", "out", "photos"]


@pytest.mark.parametrize("name", ["records", "tower/records", ".", "../photos/records"])
def test_out_inside_the_photos_is_refused(name, tmp_path):
    photos = write_photos(tmp_path / "photos", {"tower": 3, "b": 3})
    with pytest.raises(UserError, match=r"lies inside --photos .*\. Name a folder outside of it\."):
        build_folder(photos, photos / name)
    assert sorted(os.listdir(photos)) == ["b", "tower"]


def test_out_inside_the_photos_of_an_index_is_no_harm(tmp_path):
    BuildOptions(csv=tmp_path / "index.csv", photos=tmp_path, out=tmp_path / "records")


@pytest.mark.parametrize("name", ["out", "photos", "csv", "tars", "names"])
@pytest.mark.parametrize("address", ["gs://bucket/x", "s3://bucket", "https://example.org/a.csv"])
def test_addresses_are_no_paths(name, address):
    options = {"out": Path("out"), "photos": Path("photos")} | {name: Path(address)}
    with pytest.raises(UserError, match=rf"^--{name} must be a .* of this machine, got a URL"):
        BuildOptions(**options)


def test_a_drive_of_windows_is_a_path():
    BuildOptions(out=Path("C:/out"), photos=Path("D:/photos"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--workers 3", r"Without --download .*\(--workers\) have no effect"),
        ("--workers 16", r"Without --download .*\(at their defaults\) have no effect"),
        ("--allow-private --timeout 3", r"\(--allow-private, --timeout\)"),
        ("--archives-url http://a.b", "--archives-url needs --archives too"),
        ("--beam-options a=b", "--beam-options needs --beam-runner too"),
        ("--beam-runner DirectRunner --processes 2", "--processes has no effect on Beam"),
    ],
)
def test_flags_without_effect_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        parse_options(["--photos", "p", "--out", "o", *flags.split()])


def test_flags_are_the_options():
    command = "--csv i --download --out o --split 80 10 10 --per-host 1 --user-agent me --seed 7"
    assert parse_options(command.split()) == BuildOptions(
        csv=Path("i"),
        download=True,
        out=Path("o"),
        split=(80, 10, 10),
        fetch=FetchOptions(per_host=1, user_agent="me"),
        seed=7,
    )


def test_a_build_that_has_no_room_is_refused_before_it_starts(tmp_path, monkeypatch):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    expected = (
        rf"^Building 6 photos takes about 20\d\.\d kB in {tmp_path}, where 100\.0 kB are free"
    )
    with pytest.raises(UserError, match=expected):
        build_folder(photos, tmp_path / "out")
    assert os.listdir(tmp_path) == ["photos"]
    build_folder(photos, tmp_path / "out", short_side=96)


def test_files_of_the_system_do_not_stop_a_build_that_goes_on(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    (tmp_path / "out.part").mkdir()
    for name in (".DS_Store", "._x", ".nfs0000000012", ".tmp-0123"):
        (tmp_path / "out.part" / name).touch()
    build_folder(photos, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "photos"]


def test_files_of_the_user_do(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "thesis.txt").touch()
    with pytest.raises(
        UserError, match=r"holds files of yours \(thesis.txt\)\. Name another --out"
    ):
        build_folder(photos, tmp_path / "out")
    assert (tmp_path / "out.part" / "thesis.txt").exists()


def test_everything_is_on_disk_before_out_exists(tmp_path, monkeypatch):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    synced = []
    fsync = os.fsync

    def note(handle):
        assert not (tmp_path / "out").exists() or synced
        synced.append(os.path.realpath(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    build_folder(photos, tmp_path / "out")
    names = {os.path.basename(path) for path in synced}
    assert names >= set(os.listdir(tmp_path / "out"))
    assert synced[-1] == str(tmp_path)


def test_the_next_command_is_quoted(tmp_path, monkeypatch, capsys):
    photos = write_photos(tmp_path / "photos", {"a": 3, "b": 3})
    out = tmp_path / "my data (1)"
    monkeypatch.setattr(sys, "argv", ["build", "--photos", str(photos), "--out", str(out)])
    build_module.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Next: python -m glr_keras.fit --data-dir '{out}'"


def test_broken_photos_only_is_refused_with_the_reasons(tmp_path):
    for name, data in {
        "a/1.jpg": b"",
        "a/2.jpg": b"",
        "b/1.jpg": photo_file(0)[:1000],
        "b/2.jpg": b"<html>",
    }.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    expected = (
        "Expected good photos of at least two landmarks, got 0 (1 damaged, 2 empty, 1 not a photo)."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        build_folder(tmp_path / "photos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_landmark_with_good_photos_is_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 3})
    (photos / "b").mkdir()
    (photos / "b" / "1.jpg").touch()
    with pytest.raises(UserError, match=r"at least two landmarks, got 1 \(1 empty\)\.$"):
        build_folder(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_landmarks_too_small_to_split_are_refused(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 2, "b": 1})
    expected = (
        "No good photo for validation and test: a landmark needs 3 different good photos to be "
        "validated and tested (none skipped). Add photos."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        build_folder(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("short_side", [31, 0, -5])
def test_a_short_side_below_32_is_refused(short_side, tmp_path):
    with pytest.raises(
        UserError, match=f"^--short-side must be at least 32 pixels, got {short_side}\\.$"
    ):
        build_folder(tmp_path / "photos", tmp_path / "out", short_side=short_side)


def test_command_with_a_missing_folder_exits_2_without_traceback(run_python, tmp_path):
    result = run_python(
        "-m", "tfrecords.build", "--photos", tmp_path / "x", "--out", tmp_path / "out"
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"\nerror: No folder {tmp_path}/x. Expected a folder with one sub-folder of photos per "
        "landmark.\n"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photos", "x"], "error: the following arguments are required: --out"),
        (["--photos", "x", "--out", "y", "--seed", "z"], "error: argument --seed: invalid int"),
    ],
)
def test_command_with_wrong_arguments_exits_2(arguments, message, run_python):
    result = run_python("-m", "tfrecords.build", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_help_is_quick(run_python):
    """No library that takes seconds to import."""
    result = run_python("-X", "importtime", "-m", "tfrecords.build", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m tfrecords.build [-h] --out")
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {"tensorflow", "tensorflow_datasets", "keras", "matplotlib"}


@pytest.mark.parametrize(("size", "full_while"), [("300k", "Reading"), ("900k", "Writing")])
def test_a_disk_that_fills_up_is_one_message_and_with_room_the_build_goes_on(
    size, full_while, tmp_path
):
    """On small disks: photos or records have no room. Needs leave to mount."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    tmpfs = f"mount -t tmpfs -o size={size} none {tmp_path}/disk"
    (tmp_path / "disk").mkdir()
    try:
        subprocess.run([*mount, tmpfs], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"can't mount a small disk here ({error})")
    for number, name in enumerate(["a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/3", "b/4"]):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grain = np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(grain).save(path)
    build = f"{sys.executable} -m tfrecords.build --photos {tmp_path}/photos"
    build += f" --out {tmp_path}/disk/out"
    disk = f"{tmp_path}/disk"
    steps = f"{tmpfs}; {build}; echo rc $?; ls {disk}; mount -o remount,size=10m {disk}; {build}"
    result = subprocess.run(
        [*mount, steps],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: The disk is full") == 1
    assert result.stdout.startswith("rc 2\nout.part\n")
    assert full_while in result.stderr.partition("error:")[0].rpartition("\r")[2]
    assert result.returncode == 0
    assert "8 photos of 2 landmarks kept, 0 left out." in result.stdout


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def test_a_build_killed_twice_goes_on_and_ends_with_the_same_bytes(tmp_path):
    for landmark, number in itertools.product("abc", range(30)):
        path = tmp_path / "photos" / landmark / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = 100 * ord(landmark) + number
        noise = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, compress_level=0)
    build_folder(tmp_path / "photos", tmp_path / "expected")
    staging = tmp_path / "out.part"

    def started():
        command = [sys.executable, "-m", "tfrecords.build"]
        paths = ["--photos", tmp_path / "photos", "--out", tmp_path / "out"]
        return subprocess.Popen(
            [*command, *paths], cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )

    with started() as process:  # while it reads photos
        database = staging / "prepared.sqlite"
        wait_for(lambda: database.exists() and database.stat().st_size > 1 << 20, process)
        process.send_signal(signal.SIGSTOP)
        refused = started()
        stderr = refused.communicate()[1].decode()
        process.kill()
    with started() as process:  # while it writes records
        wait_for(lambda: list(staging.glob("records/*tfrecord*")), process)
        process.kill()
    assert refused.returncode == 2
    assert stderr == (
        f"\nerror: Another process is building in {staging}. Wait for it to end, or name another "
        "--out.\n"
    )
    assert not (tmp_path / "out").exists()
    with started() as process:
        stdout, _ = process.communicate()
    assert process.returncode == 0
    assert b"90 photos were read before; reading the other 0.\n" in stdout
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert not staging.exists()


@pytest.mark.skipif(not DIRTY.is_dir(), reason=f"the dirty sample folder is missing: {DIRTY}")
def test_every_item_of_the_dirty_folder_has_its_outcome(tmp_path, capsys):
    import tensorflow_datasets as tfds

    build_folder(DIRTY, tmp_path / "out")
    assert (tmp_path / "out" / "skipped.csv").read_text() == (
        "photo,reason,detail\n"
        "petra_jordan/empty.jpg,empty,\n"
        "petra_jordan/fotografía – копия 照片.jpg,duplicate,"  # noqa: RUF001
        "of petra_jordan/duplicate_of_good_0.jpeg\n"
        "petra_jordan/good_0.jpeg,duplicate,of petra_jordan/duplicate_of_good_0.jpeg\n"
        "petra_jordan/not_found.jpg,not a photo,\n"
        "petra_jordan/notes.txt,not a photo,\n"
        "petra_jordan/one_pixel.png,too small,1 x 1 pixels\n"
        "petra_jordan/sliver.jpg,too small,2000 x 12 pixels\n"
        "petra_jordan/truncated.jpg,damaged,OSError\n"
    )
    printed = capsys.readouterr().out
    assert "\n26 photos of 3 landmarks kept, 8 left out.\n" in printed
    assert "\n9 photos are near-duplicates, in 4 groups; a group stays in one split.\n" in printed
    assert "never tested: hagia_sophia_only_one\n" in printed
    assert "so no landmark: empty_landmark\n" in printed
    builder = tfds.builder_from_directory(tmp_path / "out")
    rows = [row for split in SPLITS for row in tfds.as_numpy(builder.as_dataset(split=split))]
    sizes = {row["photo_id"].decode(): row["image"].shape for row in rows}
    assert sizes == {
        "colosseum/avif_named_jpg_0.jpg": (256, 384, 3),
        "colosseum/avif_named_jpg_1.jpg": (256, 384, 3),
        "colosseum/avif_named_jpg_2.jpg": (256, 256, 3),
        "colosseum/good_0.jpg": (256, 384, 3),
        "colosseum/good_1.jpg": (256, 455, 3),
        "colosseum/good_2.jpg": (256, 385, 3),
        "colosseum/good_3.jpg": (256, 341, 3),
        "colosseum/good_4.jpg": (256, 313, 3),
        "colosseum/good_5.jpg": (256, 341, 3),
        "colosseum/webp_named_jpg_0.jpg": (256, 414, 3),
        "colosseum/webp_named_jpg_1.jpg": (256, 384, 3),
        "colosseum/webp_named_jpg_2.jpg": (256, 384, 3),
        "colosseum/webp_named_jpg_3.jpg": (256, 455, 3),
        "hagia_sophia_only_one/only.jpg": (256, 456, 3),
        "petra_jordan/alpha.png": (240, 320, 3),
        "petra_jordan/cmyk.jpg": (256, 358, 3),
        "petra_jordan/duplicate_of_good_0.jpeg": (256, 348, 3),
        "petra_jordan/exif_orientation_6.jpg": (256, 455, 3),
        "petra_jordan/good 1.JPG": (256, 455, 3),
        "petra_jordan/good 3.JPG": (256, 348, 3),
        "petra_jordan/good 5.JPG": (256, 348, 3),
        "petra_jordan/good_2.jpeg": (256, 358, 3),
        "petra_jordan/good_4.jpeg": (256, 342, 3),
        "petra_jordan/gray.jpg": (256, 348, 3),
        "petra_jordan/huge_flat.png": (256, 256, 3),
        "petra_jordan/palette.gif": (150, 200, 3),
    }
