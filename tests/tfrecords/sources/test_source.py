"""Every way to have photos ends in the same records: folder, split folder, CSV, URLs, archives."""

import csv
import hashlib
import io
import json
import os
import socket
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from loopback import serving_folder
from photo_files import encode, grain

from tfrecords.build import build
from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS, Skipped
from tfrecords.options import BuildOptions, parse_options
from tfrecords.sources.source import index_source

COUNTS = {"7": 6, "12": 4, "305": 3}  # photos of each landmark
NAMES = {"7": "Eiffel Tower", "12": "Petra", "305": "Petra"}
SHOWN = {"7": "Eiffel Tower", "12": "Petra (12)", "305": "Petra (305)"}


def jpeg(number):
    return encode(grain(48, 40, number))


PHOTOS = {
    f"{hashlib.sha256(f'{landmark}/{number}'.encode()).hexdigest()[:16]}": (landmark, number)
    for landmark, count in COUNTS.items()
    for number in range(count)
}
PICTURES = {photo_id: jpeg(number) for number, photo_id in enumerate(sorted(PHOTOS))}


def deep(photo_id):
    return f"{photo_id[0]}/{photo_id[1]}/{photo_id[2]}/{photo_id}.jpg"


@pytest.fixture
def index(tmp_path):
    """train.csv without URLs, and one row of a photo that is nowhere."""
    path = tmp_path / "train.csv"
    rows = [f"{photo_id},{landmark}\n" for photo_id, (landmark, _) in PHOTOS.items()]
    path.write_text("id,landmark_id\n" + "".join(rows) + "ffffffffffffffff,7\n")
    return path


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "train_label_to_category.csv"
    url = "http://commons.wikimedia.org/wiki/Category:"
    rows = [f"{one},{url}{name.replace(' ', '_')}\n" for one, name in NAMES.items()]
    path.write_text("landmark_id,category\n" + "".join(rows))
    return path


@pytest.fixture
def clean_index(tmp_path):
    """train_clean.csv."""
    path = tmp_path / "train_clean.csv"
    rows = []
    for landmark in COUNTS:
        ids = [photo_id for photo_id, (owner, _) in PHOTOS.items() if owner == landmark]
        rows.append(f"{landmark},{' '.join(ids)}\n")
    path.write_text("landmark_id,images\n" + "".join(rows))
    return path


def write_photos(folder, place):
    for photo_id, picture in PICTURES.items():
        path = folder / place(photo_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    return folder


def write_tars(folder):
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"images_00{number}.tar", "w") as tar:
            for photo_id in sorted(PICTURES)[number::2]:
                member = tarfile.TarInfo(deep(photo_id))
                member.size = len(PICTURES[photo_id])
                tar.addfile(member, io.BytesIO(PICTURES[photo_id]))
    return folder


@pytest.fixture
def serve():
    """Serves a folder on loopback; gives its address and the paths asked for."""
    with ExitStack() as servers:
        yield lambda folder: servers.enter_context(serving_folder(folder))


def records_of(out):
    """photo_id -> (split, label, landmark_id) of every record."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(out)
    found = {}
    for split in SPLITS:
        dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        for row in tfds.as_numpy(dataset):
            photo_id = row["photo_id"].decode()
            assert photo_id not in found
            found[photo_id] = (split, int(row["label"]), row["landmark_id"].decode())
    return found


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shards(out):
    return {path.name: path.read_bytes() for path in out.glob("*.tfrecord-*")}


@pytest.fixture(scope="module")
def expected_shards(tmp_path_factory):
    """The records of the index over a flat photo folder."""
    root = tmp_path_factory.mktemp("expected")
    rows = [f"{photo_id},{landmark}\n" for photo_id, (landmark, _) in PHOTOS.items()]
    (root / "train.csv").write_text("id,landmark_id\n" + "".join(rows))
    photos = write_photos(root / "photos", lambda photo_id: f"{photo_id}.jpg")
    build(BuildOptions(csv=root / "train.csv", photos=photos, out=root / "out"))
    return shards(root / "out")


def test_index_over_a_photo_folder(index, names, tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", deep)
    build(BuildOptions(csv=index, photos=photos, names=names, out=tmp_path / "out"))
    records = records_of(tmp_path / "out")
    labels = {"7": 0, "12": 1, "305": 2}
    assert {photo_id: row[1:] for photo_id, row in records.items()} == {
        photo_id: (labels[landmark], landmark) for photo_id, (landmark, _) in PHOTOS.items()
    }
    rows = read_csv(tmp_path / "out" / "landmarks.csv")
    assert [(row["landmark_id"], row["name"]) for row in rows] == list(SHOWN.items())
    assert (tmp_path / "out" / "label.labels.txt").read_text().split("\n")[:3] == list(
        SHOWN.values()
    )
    assert (tmp_path / "out" / "skipped.csv").read_text() == (
        "photo,reason,detail\nffffffffffffffff,missing,\n"
    )
    assert "Petra (12)" in capsys.readouterr().out


def test_flat_and_deep_photo_folders_give_the_same_records(index, tmp_path, expected_shards):
    photos = write_photos(tmp_path / "photos", deep)
    build(BuildOptions(csv=index, photos=photos, out=tmp_path / "out"))
    assert shards(tmp_path / "out") == expected_shards


def test_photos_are_read_straight_from_tars(clean_index, tmp_path, expected_shards):
    tars = write_tars(tmp_path / "tars")
    before = sorted(path.name for path in tars.iterdir())
    build(BuildOptions(csv=clean_index, tars=tars, out=tmp_path / "out"))
    assert shards(tmp_path / "out") == expected_shards
    assert sorted(path.name for path in tars.iterdir()) == before


def test_photos_of_archives_that_are_not_there_are_counted(clean_index, tmp_path, capsys):
    tars = write_tars(tmp_path / "tars")
    (tars / "images_001.tar").unlink()
    build(BuildOptions(csv=clean_index, tars=tars, out=tmp_path / "out"))
    assert len(records_of(tmp_path / "out")) == 7
    assert "6 photos of the index are in other archives.\n" in capsys.readouterr().out


def test_archives_are_fetched_checked_and_read(clean_index, tmp_path, expected_shards, serve):
    tars = write_tars(tmp_path / "train")
    (tmp_path / "md5sum" / "train").mkdir(parents=True)
    for path in tars.iterdir():
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        name = f"md5.{path.stem}.txt"
        (tmp_path / "md5sum" / "train" / name).write_text(f"{digest}  {path.name}\n")
    url, asked = serve(tmp_path)
    options = {"csv": clean_index, "archives": "0-1", "archives_url": url}
    build(BuildOptions(**options, out=tmp_path / "out"))
    assert shards(tmp_path / "out") == expected_shards
    assert (tmp_path / "out.archives" / "images_000.tar").exists()
    times = len(asked)
    build(BuildOptions(**options, tars=tmp_path / "out.archives", out=tmp_path / "again"))
    assert shards(tmp_path / "again") == expected_shards
    assert not [path for path in asked[times:] if path.endswith(".tar")]


def test_urls_are_fetched_once(tmp_path, expected_shards, serve):
    url, asked = serve(write_photos(tmp_path / "server", deep))
    index = tmp_path / "train.csv"
    rows = [
        f'"{photo_id}","{url}/{deep(photo_id)}",{landmark}\r\n'
        for photo_id, (landmark, _) in PHOTOS.items()
    ]
    gone = f"ffffffffffffffff,{url}/gone.jpg,7\r\n"
    index.write_text('"id","url","landmark_id"\r\n' + "".join(rows) + gone, newline="")
    flags = ["--csv", index, "--download", "--allow-private", "--backoff", "0.01"]
    for out in ("out", "again"):
        flags_of_out = [*flags, "--photos", tmp_path / "photos", "--out", tmp_path / out]
        build(parse_options(list(map(str, flags_of_out))))
        assert shards(tmp_path / out) == expected_shards
        assert (tmp_path / out / "skipped.csv").read_text() == (
            "photo,reason,detail\nffffffffffffffff,not found,HTTP 404\n"
        )
    assert sorted(asked) == sorted([f"/{deep(photo_id)}" for photo_id in PHOTOS] + ["/gone.jpg"])


def test_a_private_address_is_not_asked_without_leave(tmp_path, serve):
    url, asked = serve(tmp_path)
    (tmp_path / "train.csv").write_text(f"id,url,landmark_id\naa,{url}/a.jpg,1\nbb,{url}/b.jpg,2\n")
    options = BuildOptions(csv=tmp_path / "train.csv", download=True, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"got 0 \(2 bad address\)\.$"):
        build(options)
    assert asked == []


def test_the_choice_is_noted_and_marked(index, tmp_path):
    photos = write_photos(tmp_path / "photos", deep)
    options = BuildOptions(
        csv=index, photos=photos, top=2, skip_top=1, max_photos=3, out=tmp_path / "out"
    )
    build(options)
    records = records_of(tmp_path / "out")
    assert sorted(landmark for _, _, landmark in records.values()) == ["12"] * 3 + ["305"] * 3
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["choice"] == {
        "top": 2,
        "skip_top": 1,
        "landmarks": None,
        "min_photos": 1,
        "max_photos": 3,
    }
    assert manifest["source"] == "index"
    assert manifest["skipped"] == {"over the limit": 1}


def test_a_folder_that_is_split_already_keeps_its_splits(tmp_path):
    numbers = iter(range(100))
    expected = {}
    for folder, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        for landmark in ("tower", "bridge"):
            (tmp_path / "photos" / folder / landmark).mkdir(parents=True)
            for name in ("1.jpg", "2.jpg"):
                photo_id = f"{folder}/{landmark}/{name}"
                (tmp_path / "photos" / photo_id).write_bytes(jpeg(next(numbers)))
                expected[photo_id] = (split, ["bridge", "tower"].index(landmark), landmark)
    untrained = tmp_path / "photos" / "test" / "untrained"
    untrained.mkdir()
    (untrained / "1.jpg").write_bytes(jpeg(99))
    build(BuildOptions(photos=tmp_path / "photos", out=tmp_path / "out"))
    assert records_of(tmp_path / "out") == expected
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["split"] == "as given"
    assert (tmp_path / "out" / "skipped.csv").read_text() == (
        "photo,reason,detail\ntest/untrained/1.jpg,untrained landmark,\n"
    )


@pytest.mark.parametrize("ending", ["JPG", "jpeg", "png"])
def test_photos_of_an_index_may_have_other_endings(ending, index, tmp_path, expected_shards):
    photos = write_photos(tmp_path / "photos", lambda photo_id: f"{photo_id}.{ending}")
    build(BuildOptions(csv=index, photos=photos, out=tmp_path / "out"))
    assert shards(tmp_path / "out") == expected_shards


def test_an_index_of_files_and_names(tmp_path, capsys):
    write_photos(tmp_path / "photos", deep)
    rows = [f"{deep(photo_id)},{NAMES[one]} {one}\n" for photo_id, (one, _) in PHOTOS.items()]
    (tmp_path / "index.csv").write_text("filename,label\n" + "".join(rows) + "gone.jpg,x\n")
    boxes = "photo,ymin,xmin,ymax,xmax\n" + f"{deep(min(PHOTOS))},0,0,.5,1\nnobody.jpg,0,0,1,1\n"
    (tmp_path / "photos" / "boxes.csv").write_text(boxes)
    build(
        BuildOptions(csv=tmp_path / "index.csv", photos=tmp_path / "photos", out=tmp_path / "out")
    )
    records = records_of(tmp_path / "out")
    assert {photo_id: row[2] for photo_id, row in records.items()} == {
        deep(photo_id): f"{NAMES[one]} {one}" for photo_id, (one, _) in PHOTOS.items()
    }
    assert read_csv(tmp_path / "out" / "skipped.csv") == [
        {"photo": "gone.jpg", "reason": "missing", "detail": ""}
    ]
    assert "warning: 1 of the 2 rows of" in capsys.readouterr().out


def test_an_index_of_files_needs_a_folder(tmp_path):
    (tmp_path / "index.csv").write_text("filename,label\na.jpg,x\nb.jpg,y\n")
    options = BuildOptions(csv=tmp_path / "index.csv", tars=tmp_path, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"lists files, and photos in tar files are found by id"):
        build(options)


def test_a_photo_folder_that_is_not_there_is_named(index, tmp_path):
    options = BuildOptions(csv=index, photos=tmp_path / "fotos", out=tmp_path / "out")
    with pytest.raises(UserError, match=r"^No folder .*fotos\. Expected the photos of .*train"):
        build(options)


def test_ids_that_a_disk_takes_for_one_file_are_not_read_twice(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos", lambda photo_id: f"{photo_id}.jpg")
    (tmp_path / "index.csv").write_text("id,landmark_id\nab,1\nAB,2\ncd,2\n")
    arguments = (tmp_path / "index.csv", tmp_path / "photos", {}, False)
    assert [photo.photo_id for photo in index_source(*arguments).photos] == ["ab", "AB", "cd"]
    monkeypatch.setattr("tfrecords.sources.source._ignores_case", lambda folder: True)
    source = index_source(*arguments)
    assert [photo.photo_id for photo in source.photos] == ["ab", "cd"]
    assert source.skipped == [Skipped("AB", "repeated id", "the disk takes it for ab")]


def test_refused_rows_are_counted_where_too_few_landmarks_are_left(tmp_path):
    write_photos(tmp_path / "photos", lambda photo_id: f"{photo_id}.jpg")
    (tmp_path / "index.csv").write_text("id,landmark_id\na,-1\nb,0\nc,-1\n")
    options = BuildOptions(
        csv=tmp_path / "index.csv", photos=tmp_path / "photos", out=tmp_path / "out"
    )
    with pytest.raises(UserError, match=r"Left out were 2 x bad row; the first is a: line 2: expe"):
        build(options)


@pytest.mark.parametrize("out", ["photos/records", "photos/a/../records", "alias/records"])
def test_records_inside_the_photo_folder_are_refused(out, tmp_path):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "alias").symlink_to("photos")
    with pytest.raises(UserError, match=r"lies inside --photos .* Name a folder outside of it\."):
        BuildOptions(photos=tmp_path / "photos", out=tmp_path / out)


def test_special_and_giant_files_are_left_out_unread(tmp_path):
    for landmark in ("tower", "bridge"):
        (tmp_path / "photos" / landmark).mkdir(parents=True)
        for number in range(3):
            picture = jpeg(number + 10 * (landmark == "tower"))
            (tmp_path / "photos" / landmark / f"{number}.jpg").write_bytes(picture)
    os.mkfifo(tmp_path / "photos" / "tower" / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "photos" / "tower" / "socket.jpg"))
    with open(tmp_path / "photos" / "tower" / "video.mp4", "wb") as giant:
        giant.truncate(10 * 2**40)
    build(BuildOptions(photos=tmp_path / "photos", out=tmp_path / "out"))
    assert [row["reason"] for row in read_csv(tmp_path / "out" / "skipped.csv")] == [
        "unreadable",
        "unreadable",
        "too many bytes",
    ]
    assert len(records_of(tmp_path / "out")) == 6


def test_shares_for_a_folder_that_is_split_already_are_refused(tmp_path):
    for split in ("train", "validation", "test"):
        for landmark in ("tower", "bridge"):
            (tmp_path / "photos" / split / landmark).mkdir(parents=True)
            (tmp_path / "photos" / split / landmark / "1.jpg").touch()
    options = BuildOptions(photos=tmp_path / "photos", split=(80, 10, 10), out=tmp_path / "out")
    with pytest.raises(UserError, match=r"is split already, and its splits are kept: leave out"):
        build(options)


def test_copies_across_given_splits_stay_and_are_told(tmp_path, capsys):
    for number, split in enumerate(("train", "validation", "test")):
        for landmark in ("tower", "bridge"):
            (tmp_path / "photos" / split / landmark).mkdir(parents=True)
            seed = 7 if landmark == "tower" and split != "test" else number + 10
            seed += 100 * (landmark == "bridge")
            (tmp_path / "photos" / split / landmark / "1.jpg").write_bytes(jpeg(seed))
    build(BuildOptions(photos=tmp_path / "photos", out=tmp_path / "out"))
    assert len(records_of(tmp_path / "out")) == 6
    assert "warning: 2 photos have a copy in another split." in capsys.readouterr().out


def test_a_url_is_no_folder_to_build_in(tmp_path):
    for url in ("gs://bucket/x", "file:///tmp/x", "hdfs://name/x"):
        with pytest.raises(UserError, match=r"^--out must be a folder of this machine, got a URL"):
            BuildOptions(photos=tmp_path, out=Path(url))
    assert BuildOptions(photos=tmp_path / "a:b", out=Path("C:/x")).out == Path("C:/x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"^Expected --photos PHOTOS .*; got neither\.$"),
        ({"photos": Path("s3://bucket/x")}, r"^--photos must be a folder of this machine, got a U"),
        ({"csv": Path("x"), "tars": Path("gs://b/x")}, r"^--tars must be a folder of this machine"),
        ({"photos": "x", "download": True}, r"^--download, --tars and --archives need --csv INDEX"),
        ({"csv": "x"}, r"^--csv x says which photos there are, not where: add --photos DIR"),
        ({"csv": "x", "photos": "y", "tars": "z"}, r"^Photos come from one place: expected --tars"),
        (
            {"photos": "x", "split": (70, 15, 10)},
            r"sum to 100, as in --split 70 15 15; got 70 15 10",
        ),
        ({"photos": "x", "processes": 0}, r"^--processes must be at least 1, got 0\.$"),
        ({"photos": "x", "beam_options": "a=b"}, r"^--beam-options needs --beam-runner too"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        BuildOptions(out=tmp_path / "out", **options)
