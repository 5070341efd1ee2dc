"""When a data set grows, only the views of its new photos are computed, to the same bytes."""

import shutil

import numpy as np
import pytest
from plain_config import plain_config
from stored_features import (
    BLOCK,
    CONFIG,
    Counting,
    feature_files,
    set_blocks,
    small_backbone,
)

from glr_keras.data.records import open_records
from glr_keras.features.computing import compute_block
from glr_keras.features.extraction import feature_views
from glr_keras.features.view_files import BLOCK as REAL_BLOCK
from glr_keras.models.backbones import build_backbone
from tfrecords.build import BuildOptions, build

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    set_blocks(monkeypatch)


def extract(data, **settings):
    counting = Counting(small_backbone(), **settings)
    feature_views(open_records(data), counting, "weights", CONFIG, SPLITS)
    return counting.photos


@pytest.fixture(scope="module")
def built(demo_photos, tmp_path_factory):
    """Records of 8 landmarks and of all 10; the features of the first, and of all from nothing."""
    folder = tmp_path_factory.mktemp("grown")
    landmarks = sorted({path.parent for path in demo_photos})
    for name, chosen in (("few", landmarks[:4] + landmarks[6:]), ("all", landmarks)):
        for landmark in chosen:
            shutil.copytree(landmark, folder / "photos" / name / landmark.name)
        build(BuildOptions(photos=folder / "photos" / name, out=folder / "records" / name))
    shutil.copytree(folder / "records" / "all", folder / "nothing" / "all")
    with pytest.MonkeyPatch.context() as patch:
        set_blocks(patch)
        assert extract(folder / "records" / "few") == 24 * 2 + 16
        assert extract(folder / "nothing" / "all") == 30 * 2 + 20
    return folder


@pytest.fixture
def grown(built, tmp_path):
    """A copy: all records beside the few whose features are stored."""
    shutil.copytree(built / "records", tmp_path / "records")
    return tmp_path / "records"


def test_only_the_views_of_new_photos_are_computed(grown, built, capsys):
    assert extract(grown / "all") == 6 * 2 + 4
    assert feature_files(grown / "all") == feature_files(built / "nothing" / "all")
    said = capsys.readouterr().out
    assert "Features to compute: 80 views of photos x 2 x 2 x 5 x 2 bytes" in said
    assert "64 of them were computed for other records and are copied." in said
    assert feature_files(grown / "few") == feature_files(built / "records" / "few")
    assert extract(grown / "all") == 0


@pytest.mark.parametrize("stop_at", [0, 8, 12])
def test_an_interrupted_extraction_of_grown_records_ends_the_same(grown, built, stop_at):
    with pytest.raises(KeyboardInterrupt):
        extract(grown / "all", stop_at=stop_at)
    assert extract(grown / "all") <= 16
    assert feature_files(grown / "all") == feature_files(built / "nothing" / "all")


def test_what_is_damaged_in_other_features_is_not_taken_over(grown, built):
    (path,) = (grown / "few" / "features").rglob("view-1.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    assert extract(grown / "all") == 6 * 2 + 4 + BLOCK
    assert feature_files(grown / "all") == feature_files(built / "nothing" / "all")


def test_photos_of_which_nothing_is_known_are_computed(grown):
    (path,) = (grown / "few" / "features").glob("test-*/photos.blake2b")
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # damaged: nothing is known of these photos
    few = (grown / "few" / "manifest.json").read_text()
    (grown / "few" / "manifest.json").write_text(few.replace('"sha256": "', '"sha256": "0'))
    assert extract(grown / "all") == 6 * 2 + 2 + 10


def test_features_of_an_earlier_version_are_known_by_their_records(grown, built):
    for path in (grown / "few" / "features").rglob("photos.blake2b"):
        path.unlink()
    assert extract(grown / "all") == 6 * 2 + 4
    assert feature_files(grown / "all") == feature_files(built / "nothing" / "all")


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "mobilenet_v2", "image_size": 64},
        {"image_size": 32},
        # The first blocks: a processor without bfloat16 emulates it.
        {"image_size": 32, "precision": "bfloat16", "cut_layer": "block2_pool"},
    ],
)
def test_features_of_a_photo_depend_on_no_other_photo(settings, monkeypatch):
    monkeypatch.setattr("glr_keras.features.computing.BLOCK", REAL_BLOCK)
    config = plain_config(**{"weights": "random", "precision": "float32"} | settings)
    network = build_backbone(config)
    shape = (REAL_BLOCK, config.image_size, config.image_size, 3)
    photos = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")

    def stored(photos):
        return np.asarray(compute_block(network, photos)).astype(np.float16)

    together = stored(photos)
    np.testing.assert_array_equal(stored(photos[::-1])[::-1], together)
    for chosen in ([7], [3, 30], list(range(5, 29))):
        np.testing.assert_array_equal(stored(photos[chosen]), together[chosen])
