"""Features computed once: what is stored, what is computed again, and what is refused."""

import collections
import dataclasses
import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from stored_features import (
    BLOCK,
    CONFIG,
    Counting,
    feature_files,
    set_blocks,
    small_backbone,
)
from train_views import batches_of_view

from glr_keras.data.records import open_records, photo_batches
from glr_keras.features.extraction import feature_views, features_key
from glr_keras.features.view_files import ViewFile
from tfrecords.common.console import UserError

DiskUsage = collections.namedtuple("DiskUsage", "total used free")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    set_blocks(monkeypatch)


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


def views_of(records, backbone, config=CONFIG, splits=("train",), weights="weights"):
    return feature_views(records, backbone, weights, config, splits)


def photos_computed(records, backbone, *arguments, **settings):
    """How many photos the backbone is shown until all features are there."""
    counting = Counting(backbone)
    views_of(records, counting, *arguments, **settings)
    return counting.photos


@pytest.fixture(scope="module")
def extracted(demo_data, backbone, tmp_path_factory):
    """Records with the features of the train photos, for copying."""
    folder = tmp_path_factory.mktemp("extracted") / "data"
    shutil.copytree(demo_data, folder, ignore=shutil.ignore_patterns("features"))
    with pytest.MonkeyPatch.context() as patch:
        set_blocks(patch)
        views_of(open_records(folder), backbone)
    return folder


@pytest.fixture
def stored(extracted, tmp_path):
    """A copy of them: 30 photos in 4 blocks, 2 views."""
    shutil.copytree(extracted, tmp_path / "other" / "stored")
    return open_records(tmp_path / "other" / "stored")


def path_of(records, name):
    (path,) = (records.data_dir / "features").rglob(name)
    return path


def test_features_are_the_backbone_s_output_for_each_view(stored, backbone):
    views = views_of(stored, backbone)["train"]
    assert (views.shape, len(views), list(views.files)) == ((2, 2, 5), 30, [0, 1])
    shown = {}
    for view, file in views.files.items():
        batches = list(batches_of_view(stored, "train", view, CONFIG, BLOCK))
        expected = np.concatenate([backbone.predict_on_batch(b["photo"]) for b in batches])
        shown[view] = file.rows(range(30))
        np.testing.assert_array_equal(shown[view], expected.astype(np.float16))
        np.testing.assert_array_equal(shown[view], np.load(file.path))
        assert views.photo_ids == [i.decode() for b in batches for i in b["photo_id"].numpy()]
        np.testing.assert_array_equal(views.labels, np.concatenate([b["label"] for b in batches]))
    assert np.abs(shown[0] - shown[1]).mean() > 0.01


def test_validation_and_test_photos_have_one_eval_view(records, backbone):
    views = views_of(records, backbone, splits=("validation", "test"))
    assert [(name, list(one.files), len(one)) for name, one in views.items()] == [
        ("validation", [None], 10),
        ("test", [None], 10),
    ]
    (batch,) = photo_batches(records, "test", CONFIG.image_size, CONFIG.framing, 10)
    expected = backbone.predict_on_batch(batch["photo"]).astype(np.float16)
    stored = views["test"].files[None].rows(range(10))
    np.testing.assert_allclose(stored, expected, rtol=2**-10, atol=1e-6)  # other batches


def test_stored_features_are_not_computed_again(stored, backbone):
    before = feature_files(stored.data_dir)
    assert photos_computed(stored, backbone) == 0
    assert feature_files(stored.data_dir) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"alpha": 1.0, "beta": 0.5},
        {"head": "dropout", "head_units": (8,), "pooling": "average", "normalize": False},
        {"learning_rate": 0.1, "optimizer": "adam", "schedule": "cosine", "ema": 0.9},
        {"epochs": 9, "views": 2, "batch_size": 5},
        {"epochs": 1},
        {"label_smoothing": 0.1, "balance": 1.0, "patience": 1, "run_dir": "elsewhere"},
    ],
)
def test_what_only_the_head_sees_computes_nothing_again(stored, backbone, changed):
    config = dataclasses.replace(CONFIG, **changed)
    assert photos_computed(stored, backbone, config) == 0


def test_more_views_compute_only_those(stored, backbone):
    assert photos_computed(stored, backbone, dataclasses.replace(CONFIG, epochs=3)) == 30


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"rotation": 0.0},
        {"min_crop_area": 1.0},
        {"brightness": 0.0},
        {"flip": False},
        {"precision": "bfloat16"},
        {"cut_layer": "block5_conv3"},
        {"image_size": 64},
        {"backbone": "mobilenet_v2"},
    ],
)
def test_each_setting_that_features_depend_on_has_features_of_its_own(records, changed):
    config = dataclasses.replace(CONFIG, **changed)
    keys = [features_key(records, "train", "weights", one) for one in (CONFIG, config)]
    assert keys[0] != keys[1]
    tests = [features_key(records, "test", "weights", one) for one in (CONFIG, config)]
    random = {"seed", "rotation", "min_crop_area", "brightness", "flip"}
    assert (tests[0] == tests[1]) == bool(random & set(changed))  # eval views have no randomness


def test_other_weights_never_read_these_features_and_other_records_copy_them(stored, backbone):
    one_view = dataclasses.replace(CONFIG, views=1)
    assert photos_computed(stored, backbone, one_view, weights="other weights") == 30
    path = stored.data_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    assert photos_computed(open_records(stored.data_dir), backbone, one_view) == 0
    assert len(list((stored.data_dir / "features").glob("train-*"))) == 3


@pytest.mark.parametrize("stop_at", [8, 40])  # of 8 photos a block, the views in turn
def test_an_interrupted_extraction_resumes_and_ends_the_same(
    stored, records, backbone, stop_at, capsys
):
    with pytest.raises(KeyboardInterrupt):
        views_of(records, Counting(backbone, stop_at))
    capsys.readouterr()
    assert photos_computed(records, backbone) == 60 - stop_at
    said = capsys.readouterr()
    assert "was damaged" not in said.err
    assert f"Features to compute: {60 - stop_at} views of photos x 2 x 2 x 5 x 2 bytes" in said.out
    assert feature_files(records.data_dir) == feature_files(stored.data_dir)


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


# What is done to which file, the photos to compute again, and how many blocks that is.
HEADER, BLOCK_BYTES = 128, BLOCK * 2 * 2 * 5 * 2
DAMAGE = {
    "bit in block 1": ("view-0.npy", lambda d: flip(d, HEADER + BLOCK_BYTES), 8, 1),
    "bit in the last block": ("view-1.npy", lambda d: flip(d, len(d) - 1), 6, 1),
    "bit in the header": ("view-1.npy", lambda d: flip(d, 40), 30, 4),
    "bit in a checksum": ("view-0.crc32c", lambda d: flip(d, 9), 8, 1),
    "cut array": ("view-0.npy", lambda d: d[: HEADER + 2 * BLOCK_BYTES + 1], 14, 2),
    "array of no bytes": ("view-0.npy", lambda _: b"", 30, 4),
    "array gone": ("view-1.npy", None, 30, 4),
    "cut checksums": ("view-1.crc32c", lambda d: d[:7], 22, 1),
    "checksums gone": ("view-0.crc32c", None, 30, 4),
    "cut manifest": ("train-*/manifest.json", lambda d: d[:50], 0, 0),
    "bit in the manifest": ("train-*/manifest.json", lambda d: flip(d, 50), 0, 0),
    "cut index": ("photos.json", lambda d: d[:50], 0, 0),
    "bit in the index": ("photos.json", lambda d: flip(d, 50), 0, 0),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_and_only_the_damaged_blocks_are_computed_again(
    stored, backbone, case, capsys
):
    name, harm, photos, blocks = DAMAGE[case]
    whole = feature_files(stored.data_dir)
    (path,) = (stored.data_dir / "features").rglob(name)
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))
        assert feature_files(stored.data_dir) != whole
    assert photos_computed(stored, backbone) == photos
    said = capsys.readouterr().err
    assert said.count("was damaged") == 1
    if blocks:
        array = path.with_suffix(".npy")
        remedy = f"{blocks} of 4 blocks are computed again"
        assert f"warning: {array} was damaged; {remedy}." in said
    else:
        assert f"warning: {path} was damaged; it is " in said
    assert feature_files(stored.data_dir) == whole
    assert photos_computed(stored, backbone) == 0
    assert "was damaged" not in capsys.readouterr().err


def test_holes_in_many_views_are_filled_each_with_its_own_view(stored, backbone):
    config = dataclasses.replace(CONFIG, epochs=6)  # more than are made of a photo at once
    views_of(stored, backbone, config)
    whole = feature_files(stored.data_dir)
    holes = {0: [1], 1: [1, 2], 2: [3], 4: [0, 3], 5: [0]}
    for view, blocks in holes.items():
        path = path_of(stored, f"view-{view}.npy")
        for block in blocks:
            path.write_bytes(flip(path.read_bytes(), HEADER + block * BLOCK_BYTES))
    assert photos_computed(stored, backbone, config) == 5 * 8 + 2 * 6
    assert feature_files(stored.data_dir) == whole


@pytest.mark.parametrize("name", ["manifest.json", "photos.json", "view-0.*", "*"])
def test_what_was_deleted_is_made_again(stored, backbone, name):
    whole = feature_files(stored.data_dir)
    (folder,) = (stored.data_dir / "features").glob("train-*")
    for path in folder.glob(name):
        path.unlink()
    assert photos_computed(stored, backbone) == {"view-0.*": 30, "*": 60}.get(name, 0)
    assert feature_files(stored.data_dir) == whole


def test_files_of_another_view_are_not_taken_for_this_one(stored, backbone, capsys):
    for suffix in (".npy", ".crc32c"):
        first, second = (path_of(stored, f"view-{view}{suffix}") for view in (0, 1))
        first.write_bytes(second.read_bytes())
    assert photos_computed(stored, backbone) == 30
    assert "view-0.npy was damaged; 4 of 4 blocks" in capsys.readouterr().err


def test_the_space_that_features_take_is_printed(records, backbone, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(0, 0, 5_000_000_000))
    views_of(records, backbone, splits=("validation", "test", "train"))
    folder = records.data_dir / "features"
    assert capsys.readouterr().out == (
        "Features to compute: 80 views of photos x 2 x 2 x 5 x 2 bytes = 3.2 kB; "
        f"5.0 GB are free in {folder}.\n"
    )


def test_features_without_room_are_refused_before_the_first_is_computed(
    records, backbone, monkeypatch
):
    enough = 60 * 2 * 2 * 5 * 2 + 2**26
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(0, 0, enough - 1))
    counting = Counting(backbone)
    with pytest.raises(UserError) as error:
        views_of(records, counting)
    text = str(error.value)
    folder = records.data_dir / "features"
    assert text.startswith("No room for the features: 60 views of photos x 2 x 2 x 5 x 2 bytes")
    assert f"= 2.4 kB; 67.1 MB are free in {folder}." in text
    for way_out in (f"glr_keras.features list {records.data_dir}", "fewer --views", "--live"):
        assert way_out in text
    assert counting.photos == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(0, 0, enough))
    assert photos_computed(records, backbone) == 60


def test_what_is_there_needs_no_room(stored, backbone, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(0, 0, 0))
    assert photos_computed(stored, backbone) == 0


def test_a_folder_that_cannot_be_written_is_refused(records, backbone, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # the tests may run as root
    message = r"Can't write features to .* \(Permission denied\)\. Name a folder .*--features-dir"
    with pytest.raises(UserError, match=message):
        views_of(records, backbone)


def protect(monkeypatch, folder):
    """Makes every file below `folder` one that can only be read; the tests may run as root."""
    opened, made = os.open, os.mkdir

    def check(path, is_refused=True):
        if is_refused and Path(path).is_relative_to(folder):
            raise PermissionError(errno.EACCES, "Permission denied", path)

    def open_to_read(path, flags, *arguments, **settings):
        check(path, flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return opened(path, flags, *arguments, **settings)

    def make(path, *mode, **settings):
        check(path)
        return made(path, *mode, **settings)

    monkeypatch.setattr(os, "open", open_to_read)
    monkeypatch.setattr(os, "mkdir", make)


def test_features_that_can_only_be_read_are_used(stored, backbone, monkeypatch):
    protect(monkeypatch, stored.data_dir)
    assert photos_computed(stored, backbone) == 0


def test_features_that_are_missing_where_nothing_can_be_written_are_refused(
    stored, backbone, monkeypatch
):
    protect(monkeypatch, stored.data_dir)
    counting = Counting(backbone)
    with pytest.raises(UserError, match="--features-dir"):
        views_of(stored, counting, dataclasses.replace(CONFIG, epochs=3))
    assert counting.photos == 0


def test_another_folder_takes_the_features_of_protected_records(
    records, backbone, tmp_path, monkeypatch
):
    protect(monkeypatch, records.data_dir)
    config = dataclasses.replace(CONFIG, features_dir=str(tmp_path / "elsewhere"))
    assert photos_computed(records, backbone, config) == 60
    assert photos_computed(records, backbone, config) == 0
    assert not (records.data_dir / "features").exists()


def test_features_are_read_against_their_checksums_once(stored, backbone, monkeypatch):
    assert photos_computed(stored, backbone) == 0
    with monkeypatch.context() as patch:
        patch.setattr(ViewFile, "_fits", None)  # a call would fail
        assert photos_computed(stored, backbone) == 0
    path = path_of(stored, "view-1.npy")
    path.write_bytes(flip(path.read_bytes(), HEADER + 3))
    assert photos_computed(stored, backbone) == BLOCK


def test_many_starts_at_once_compute_everything_once(records, backbone):
    counting = Counting(backbone)
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(views_of, records, counting) for _ in range(8)]
        shapes = {start.result(timeout=120)["train"].shape for start in starts}
    assert shapes == {(2, 2, 5)}
    assert counting.photos == 60


def test_features_too_large_for_float16_are_refused(records):
    photos = keras.Input((32, 32, 3))
    loud = keras.Model(photos, keras.layers.Rescaling(1e6)(photos))
    with pytest.raises(UserError, match=r"do not fit float16 \(65504\)"):
        views_of(records, loud, splits=("test",))
    assert not list((records.data_dir / "features").rglob("*.npy"))
