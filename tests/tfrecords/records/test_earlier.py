"""Records of an earlier build: photos that have not changed are not converted again."""

import json
import shutil
from pathlib import Path

import pytest
from photo_files import encode, grain

from tfrecords import build as build_module
from tfrecords.build import build, is_built
from tfrecords.common.console import UserError
from tfrecords.images import prepared as prepared_module
from tfrecords.options import BuildOptions
from tfrecords.validation.runner import check

SETTINGS = {"short_side": 48, "seed": 5, "split": (60, 20, 20)}


def photo(number):
    return encode(grain(40 + number % 9, 60, number), "JPEG")


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


OLD = {f"{name}/{n}.jpg": photo(20 * at + n) for at, name in enumerate("ab") for n in range(6)}
OLD |= {
    "a/copy.jpg": OLD["a/1.jpg"],
    "a/no photo.jpg": b"?",
    "a/conflict.jpg": photo(90),
    "b/conflict.jpg": photo(90),
}
NEW = {f"c/{n}.jpg": photo(60 + n) for n in range(4)} | {
    "b/6.jpg": photo(70),
    "b/a conflict.jpg": OLD["b/2.jpg"],  # sorted before b/2.jpg, which was kept
    "c/conflict.jpg": photo(90),  # of a photo that was left out
    "c/empty.jpg": b"",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Records of the old photos, and of old and new ones from nothing."""
    folder = tmp_path_factory.mktemp("earlier")
    write(folder / "old photos", OLD)
    write(folder / "new photos", NEW)
    write(folder / "all photos", OLD | NEW)
    for name in ("old", "all"):
        build(BuildOptions(photos=folder / f"{name} photos", out=folder / name, **SETTINGS))
    return folder


@pytest.fixture
def converted(monkeypatch):
    """The ids of all photos that are converted."""
    ids, prepare = [], prepared_module.prepare

    def count(photo, *arguments):
        ids.append(photo.photo_id)
        return prepare(photo, *arguments)

    monkeypatch.setattr(prepared_module, "prepare", count)
    return ids


def contents(folder):
    """All files of records but the picture, whose long tail an addition can't know."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}


def grow(built, out, **changed):
    options = {"photos": built / "new photos", "add_to": built / "old", "out": out} | changed
    build(BuildOptions(**options))
    return out


def test_added_photos_give_the_records_of_all_photos_from_nothing(built, tmp_path, converted):
    before = contents(built / "old")
    assert contents(grow(built, tmp_path / "grown")) == contents(built / "all")
    assert sorted(converted) == sorted(NEW)
    assert contents(built / "old") == before
    assert not check(tmp_path / "grown").findings


def test_reused_records_give_those_from_nothing(built, tmp_path, converted, capsys):
    out = tmp_path / "grown"
    build(BuildOptions(photos=built / "all photos", reuse=built / "old", out=out, **SETTINGS))
    assert contents(out) == contents(built / "all")
    kept = json.loads((built / "old" / "manifest.json").read_text())["photos"]
    assert len(converted) == len(OLD) + len(NEW) - sum(kept.values())
    said = f"{sum(kept.values())} photos are taken from {built / 'old'}; their files have not"
    assert said in capsys.readouterr().out


def test_a_photo_that_has_changed_is_converted_again(built, tmp_path, converted):
    photos = shutil.copytree(built / "old photos", tmp_path / "photos")
    (photos / "a/3.jpg").write_bytes(photo(95))
    out = tmp_path / "out"
    build(BuildOptions(photos=photos, reuse=built / "old", out=out, **SETTINGS))
    assert "a/3.jpg" in converted
    assert "a/4.jpg" not in converted
    build(BuildOptions(photos=photos, out=tmp_path / "nothing", **SETTINGS))
    assert contents(out) == contents(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest["versions"].update(pillow="1"), "other versions of the libr"),
        (lambda manifest: manifest["files"].pop("sources.csv"), "an earlier version built it"),
        (lambda manifest: manifest.update(short_side=64), "its --short-side is 64"),
    ],
)
def test_records_that_were_made_otherwise_are_not_reused(
    built, tmp_path, converted, capsys, change, said
):
    old = shutil.copytree(built / "old", tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    change(manifest)
    (old / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "out"
    build(BuildOptions(photos=built / "old photos", reuse=old, out=out, **SETTINGS))
    assert f"No photo of {old} is taken over: {said}" in capsys.readouterr().out
    assert len(converted) == len(OLD)
    assert contents(out) == contents(built / "old")


def test_an_interrupted_addition_resumes_and_ends_the_same(built, tmp_path, monkeypatch, converted):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "write_shards", stop)
        with pytest.raises(KeyboardInterrupt):
            grow(built, tmp_path / "grown")
    assert not (tmp_path / "grown").exists()
    assert contents(grow(built, tmp_path / "grown")) == contents(built / "all")
    assert len(converted) == len(NEW)


def test_a_folder_may_be_called_after_a_landmark_s_name(built, tmp_path):
    old = shutil.copytree(built / "old", tmp_path / "old")
    table = (old / "landmarks.csv").read_text().replace("1,b,b,", "1,b,Big Ben,")
    (old / "landmarks.csv").write_text(table)
    new = write(tmp_path / "new", {"Big Ben/new.jpg": photo(80)})
    out = grow(built, tmp_path / "out", photos=new, add_to=old)
    rows = (out / "landmarks.csv").read_text().splitlines()
    assert rows[2].startswith("1,b,Big Ben,")
    assert len(rows) == 3


REFUSED = {
    "no folder": (None, r"No folder .*new\."),
    "no photos": ({}, r"holds no photos"),
    "photos beside folders": ({"1.jpg": photo(0)}, r"Move the photos of each landmark into a fol"),
    "case": ({"B/1.jpg": photo(80)}, r"new/B and the landmark b of .*old differ in case only"),
    "all there": ({"a/1.jpg": OLD["a/1.jpg"]}, r"All photos of .*new are in .*old already"),
    "other photo": ({"a/1.jpg": photo(80)}, r"other photos under the names of 1 files .*a/1\.jpg"),
    "copies only": ({"a/new.jpg": OLD["a/1.jpg"]}, r"new adds no photo to .*old"),
    "split": (
        {f"{split}/c/{n}.jpg": photo(80) for n, split in enumerate(("train", "val", "test"))},
        r"new is split into train, validation and test, and .*old is not",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_additions_that_make_no_sense_are_refused(built, tmp_path, case):
    files, message = REFUSED[case]
    if files is not None:
        (tmp_path / "new").mkdir()
        write(tmp_path / "new", files)
    with pytest.raises(UserError, match=message):
        grow(built, tmp_path / "out", photos=tmp_path / "new")
    assert not (tmp_path / "out").exists()


def test_nothing_is_added_to_photos_that_were_split_by_hand(built, tmp_path):
    old = shutil.copytree(built / "old", tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps(manifest | {"split": "as given"}))
    with pytest.raises(UserError, match=r"split already.*build --reuse .* --photos PHOTOS --out"):
        grow(built, tmp_path / "out", add_to=old)


def test_damaged_records_are_named(built, tmp_path):
    old = shutil.copytree(built / "old", tmp_path / "old")
    (path,) = old.glob("*-train.tfrecord*")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=rf"{path} is damaged or missing.*tfrecords\.check {old}"):
        grow(built, tmp_path / "out", add_to=old)
    with pytest.raises(UserError, match=r"No landmark records in .*nowhere"):
        grow(built, tmp_path / "out", add_to=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seed": 1, "split": (80, 10, 10)}, "got --split, --seed"),
        ({"csv": Path("index.csv")}, "got --csv"),
        ({"beam_runner": "DirectRunner"}, "not for --beam-runner"),
    ],
)
def test_flags_that_an_addition_has_decided_are_refused(tmp_path, flags, message):
    flags = {"photos": tmp_path, "add_to": tmp_path / "old", "out": tmp_path.parent / "o"} | flags
    with pytest.raises(UserError, match=message):
        BuildOptions(**flags)


def test_an_addition_that_is_built_is_known_by_its_photos(built, tmp_path):
    out = grow(built, tmp_path / "grown")
    options = BuildOptions(photos=built / "new photos", add_to=built / "old", out=out)
    assert is_built(options)
    other = write(tmp_path / "other", NEW | {"c/0.jpg": photo(99)})
    with pytest.raises(UserError, match=r"grown holds other records than those of .*--out"):
        is_built(BuildOptions(photos=other, add_to=built / "old", out=out))
    assert not is_built(BuildOptions(photos=other, add_to=built / "old", out=tmp_path / "none"))
