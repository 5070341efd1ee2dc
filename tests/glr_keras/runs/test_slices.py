"""Slices: what photos are dark, small or portrait, and accuracies in and outside of them."""

import numpy as np
import pytest
from PIL import Image

from glr_keras.data.records import open_records, photo_index
from glr_keras.runs.slices import SLICES, measure_slices, photo_slices
from tfrecords.build import BuildOptions, build


@pytest.fixture(scope="module")
def odd_records(tmp_path_factory):
    """Records of two landmarks, whose test photos are what their names say."""
    folder = tmp_path_factory.mktemp("odd")
    sizes = {"dark": (90, 60), "tall": (60, 90), "small": (40, 38), "plain": (90, 60)}
    boxes = ["photo,ymin,xmin,ymax,xmax"]
    random = np.random.default_rng(0)
    for landmark in ("train/arch", "train/gate", "validation/arch", "test/arch", "test/gate"):
        for name, size in sizes.items():
            path = folder / "photos" / landmark / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cells = random.integers(100, 256, (4, 4, 3)) // (3 if name == "dark" else 1)
            cells = Image.fromarray(cells.astype(np.uint8))
            cells.resize(size, Image.Resampling.NEAREST).save(path)  # unlike each other
            side = 0.3 if name == "plain" else 0.5
            boxes.append(f"{landmark}/{name}.jpg,0,0,{side},{side}")
    (folder / "photos" / "boxes.csv").write_text("\n".join(boxes) + "\n")
    build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    return open_records(folder / "data")


def test_photos_are_in_the_slices_that_they_show(odd_records):
    found = photo_slices(odd_records, "test", image_size=48)
    _, photo_ids = photo_index(odd_records, "test")
    photos_of = {
        name: {photo.split("/")[-1] for photo, is_in in zip(photo_ids, rows, strict=True) if is_in}
        for name, rows in found.items()
    }
    assert photos_of == {
        "dark": {"dark.jpg"},
        "small": {"small.jpg"},
        "portrait": {"tall.jpg"},
        "distant": {"plain.jpg"},
    }
    assert set(SLICES) == {*found, "few train photos"}


def test_accuracies_in_and_outside_of_slices_by_hand():
    slices = {
        "dark": np.array([True, True, False, False]),
        "small": np.zeros(4, bool),
        "portrait": np.ones(4, bool),
    }
    labels, correct = np.array([0, 1, 1, 2]), np.array([True, False, True, True])
    dark, few = measure_slices(slices, labels, correct, np.array([0, 1, 1, 2, 2, 2]))
    assert (dark["slice"], dark["photos"], dark["correct"], dark["accuracy"]) == ("dark", 2, 1, 0.5)
    assert dark["interval"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert (dark["other_photos"], dark["other_correct"]) == (2, 2)
    # The median landmark has 2 train photos; one of them has 1.
    assert (few["slice"], few["photos"], few["other_photos"]) == ("few train photos", 1, 3)


def test_landmarks_of_equally_many_photos_have_no_few():
    found = measure_slices({}, np.array([0, 1]), np.array([True, True]), np.array([0, 1]))
    assert found == []
