"""The demo photos: reproducible, boxed, and told apart by architecture rather than by colour."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from tfrecords.demo import paint as demo_paint
from tfrecords.demo import photos as demo
from tfrecords.demo import scene as demo_scene


@pytest.fixture(scope="module")
def photos(demo_data):
    """Five photos of every landmark: images, boxes and labels."""
    folder = demo_data.parent / "photos"
    with (folder / "boxes.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    images = [Image.open(io.BytesIO((folder / row[0]).read_bytes())) for row in rows]
    return images, np.array([row[1:] for row in rows], float), np.repeat(np.arange(10), 5)


def test_landmarks_are_distinct_and_long_tailed():
    counts = [landmark.photos for landmark in demo.LANDMARKS]
    assert len(counts) >= 8
    assert len({landmark.slug for landmark in demo.LANDMARKS}) == len(counts)
    assert all(landmark.slug.replace("_", "").isalpha() for landmark in demo.LANDMARKS)
    assert 400 <= sum(counts) <= 440
    assert min(counts) >= 20
    assert max(counts) >= 3 * min(counts)


def test_same_arguments_same_photo():
    photo, box = demo.draw_photo(demo.LANDMARKS[2], 5, seed=3)
    again, same_box = demo.draw_photo(demo.LANDMARKS[2], 5, seed=3)
    assert photo.tobytes() == again.tobytes()
    assert box == same_box


@pytest.mark.parametrize(("number", "seed"), [(6, 3), (5, 4)])
def test_another_number_or_seed_is_another_photo(number, seed):
    photo, _ = demo.draw_photo(demo.LANDMARKS[2], 5, seed=3)
    other, _ = demo.draw_photo(demo.LANDMARKS[2], number, seed=seed)
    assert photo.tobytes() != other.tobytes()


def test_photos_are_rgb_in_landscape_and_portrait(photos):
    images, _, _ = photos
    assert {image.mode for image in images} == {"RGB"}
    assert {image.size for image in images} == {(340, 256), (256, 340)}


def test_boxes_are_in_the_central_square_and_leave_most_of_it(photos):
    images, boxes, _ = photos
    squares = np.array([central_square(image) for image in images])
    inside = (boxes - squares[:, [0, 1, 0, 1]]) / np.tile(squares[:, 2:] - squares[:, :2], 2)
    assert inside.min() > -0.06  # a photo is rolled by a few degrees in the end
    assert inside.max() < 1.06
    areas = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
    assert np.median(areas) < 1 / 3
    assert areas.min() > 0.05


def test_the_middle_of_the_square_says_little_of_where_the_landmark_is(photos):
    """Area under the ROC curve of "nearer to the middle" for "in the box": the centre map's."""
    images, boxes, _ = photos
    scores = []
    for image, box in zip(images, boxes, strict=True):
        top, left, bottom, right = central_square(image)
        y, x = (np.arange(64) + 0.5) / 64 * (bottom - top), (np.arange(64) + 0.5) / 64
        y, x = y[:, None] + top, (x * (right - left) + left)[None]
        in_box = (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
        nearness = -np.hypot((y - 0.5) * image.height, (x - 0.5) * image.width)
        below = np.searchsorted(np.sort(nearness[~in_box]), nearness[in_box])
        scores.append(below.mean() / (~in_box).sum())
    assert np.mean(scores) <= 0.65


def central_square(image):
    """(top, left, bottom, right) of what a model sees, in [0, 1] of the photo."""
    side = 7 / 8 * min(image.size)
    down, across = side / image.height / 2, side / image.width / 2
    return 0.5 - down, 0.5 - across, 0.5 + down, 0.5 + across


@pytest.mark.parametrize("landmark", demo.LANDMARKS, ids=lambda landmark: landmark.slug)
def test_box_is_tight_around_the_landmark(monkeypatch, landmark):
    monkeypatch.setattr(demo_scene, "draw_clutter", lambda *_: None)  # nothing stands before it
    choose_colours, views = demo_paint.choose_colours, []
    for shade in (0.0, 3.0):

        def choose_one_shade(rng, light, shade=shade):
            surroundings = ("town0", "town1", "town2", "town3", "tiles", "glass")
            colours = choose_colours(rng, light)
            return colours | {m: np.full(3, shade) for m in colours if m not in surroundings}

        monkeypatch.setattr(demo_paint, "choose_colours", choose_one_shade)
        photo, box = demo.draw_photo(landmark, 1)
        views.append(np.asarray(photo, int))
    change = np.abs(views[0] - views[1]).max(axis=2) > 60
    rows, columns = np.flatnonzero(change.any(axis=1)), np.flatnonzero(change.any(axis=0))
    height, width = change.shape
    ends = [
        rows[0] / height,
        columns[0] / width,
        (rows[-1] + 1) / height,
        (columns[-1] + 1) / width,
    ]
    np.testing.assert_allclose(box, ends, atol=2.01 / 256)


def test_written_tree_matches_the_drawn_photos(tmp_path):
    demo.write_photos(tmp_path, seed=2, photos_per_landmark=1, progress=False)
    with (tmp_path / "boxes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["photo", "ymin", "xmin", "ymax", "xmax"]
    names = [f"{landmark.slug}/{landmark.slug}_0000.jpg" for landmark in demo.LANDMARKS]
    assert [row[0] for row in rows[1:]] == names
    written = [
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    ]
    assert sorted(written) == sorted([*names, "boxes.csv"])
    drawn, box = demo.draw_photo(demo.LANDMARKS[3], 0, seed=2)
    assert rows[4][1:] == [f"{value:.4f}" for value in box]
    with Image.open(tmp_path / names[3]) as photo:
        difference = np.asarray(photo, float) - np.asarray(drawn, float)
    assert np.abs(difference).mean() < 4  # JPEG.


def test_number_of_processes_does_not_change_a_byte(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(demo, "LANDMARKS", demo.LANDMARKS[:3])
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        demo.write_photos(folder, photos_per_landmark=2, progress=False, processes=processes)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "1", tmp_path / "2")
    )
    assert len(one) == 3 * 2 + 1
    assert one == two
    assert capfd.readouterr().err == ""


def test_photos_are_counted_on_stderr(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "LANDMARKS", demo.LANDMARKS[:1])
    demo.write_photos(tmp_path, photos_per_landmark=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Drawing demo photos: 100%" in captured.err
    assert "2/2" in captured.err
    assert " photos/s" in captured.err


@pytest.mark.parametrize("number", [0, -1])
def test_no_photos_are_refused(tmp_path, number):
    with pytest.raises(ValueError, match=f"at least 1, or None for all photos; got {number}"):
        demo.write_photos(tmp_path / "photos", photos_per_landmark=number)
    assert not (tmp_path / "photos").exists()


def test_colour_alone_does_not_decide(photos):
    images, _, labels = photos
    histograms = np.stack([colour_histogram(image) for image in images])
    assert nearest_neighbour_accuracy(histograms, labels) < 0.4


def test_structure_decides(photos):
    images, boxes, labels = photos
    gradients = np.stack(
        [gradient_cells(cut_out(*pair)) for pair in zip(images, boxes, strict=True)]
    )
    assert nearest_neighbour_accuracy(gradients, labels) > 0.55


def cut_out(image, box):
    """The landmark alone, wherever in the photo it stands."""
    top, left, bottom, right = box * np.tile(image.size[::-1], 2)
    return image.crop((round(left), round(top), round(right), round(bottom)))


def colour_histogram(image):
    """Square roots of the shares `(512,)` of 8 x 8 x 8 colours."""
    bins = np.asarray(image, int) // 32 @ (64, 8, 1)
    return np.sqrt(np.bincount(bins.ravel(), minlength=512) / bins.size)


def gradient_cells(image):
    """Strengths of 8 edge directions in 8 x 8 cells, `(512,)`."""
    down, across = np.gradient(np.asarray(image.convert("L").resize((64, 64)), float))
    direction = (np.arctan2(down, across) % np.pi / np.pi * 8).astype(int) % 8
    cell = np.add.outer(np.arange(64) // 8 * 8, np.arange(64) // 8)
    strength = np.hypot(across, down).ravel()
    cells = np.bincount((cell * 8 + direction).ravel(), strength, 512).reshape(64, 8)
    return (cells / (np.linalg.norm(cells, axis=1, keepdims=True) + 20)).ravel()


def nearest_neighbour_accuracy(features, labels):
    """Share of photos whose nearest other photo shows the same landmark."""
    distances = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(labels[distances.argmin(axis=1)] == labels))
