"""Copies of one photo are found, whatever was done to them; other photos are no copies."""

from io import BytesIO

import numpy as np
import pytest
from paths import SHARED
from PIL import Image, ImageEnhance, ImageOps

from tfrecords.images import fingerprints as fingerprints_module
from tfrecords.images import near_duplicates
from tfrecords.images.convert import prepare_photo
from tfrecords.images.fingerprints import SIDE, fingerprint
from tfrecords.images.near_duplicates import BUCKET_PHOTOS, find_near_duplicates

SHORT_SIDE = 256


def picture(number, size=(480, 360)):
    """A smooth random picture with some texture, unlike that of any other number."""
    random = np.random.default_rng(number)
    layers = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (*shape, 3), dtype=np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            ),
            np.float32,
        )
        for shape in ((6, 8), (24, 32), (120, 160))
    ]
    mixed = 0.6 * layers[0] + 0.3 * layers[1] + 0.1 * layers[2]
    return Image.fromarray(mixed.astype(np.uint8))


def encode(image, file_format="JPEG", quality=90):
    out = BytesIO()
    image.save(out, file_format, quality=quality)
    return out.getvalue()


def groups_of(fingerprints):
    return find_near_duplicates(fingerprints).groups


def fingerprint_of(data):
    return fingerprint(prepare_photo(data, SHORT_SIDE))


def crop(left=0.0, top=0.0, right=0.0, bottom=0.0):
    def cut(image):
        width, height = image.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.crop(tuple(map(round, box)))

    return cut


def resize(factor):
    return lambda image: image.resize([round(side * factor) for side in image.size])


COPIES = {
    "quality 30": (lambda image: image, "JPEG", 30),
    "quality 75": (lambda image: image, "JPEG", 75),
    "webp": (lambda image: image, "WEBP", 80),
    "png": (lambda image: image, "PNG", 0),
    "half the size": (resize(0.5), "JPEG", 90),
    "three quarters": (resize(0.75), "JPEG", 90),
    "one and a half": (resize(1.5), "JPEG", 90),
    "2 % off the left": (crop(left=0.02), "JPEG", 90),
    "2 % off all around": (crop(0.02, 0.02, 0.02, 0.02), "JPEG", 90),
    "5 % off the top": (crop(top=0.05), "JPEG", 90),
    "5 % off the right": (crop(right=0.05), "JPEG", 90),
    "5 % off the bottom": (crop(bottom=0.05), "JPEG", 90),
    "5 % off a corner": (crop(left=0.05, bottom=0.05), "JPEG", 90),
    "3 % off two sides": (crop(top=0.03, right=0.03), "JPEG", 90),
    "10 % off the left": (crop(left=0.1), "JPEG", 90),
    "10 % off the middle": (crop(0.05, 0.05, 0.05, 0.05), "JPEG", 90),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), "JPEG", 90),
    "less contrast": (lambda image: ImageEnhance.Contrast(image).enhance(0.9), "JPEG", 90),
    "grey": (lambda image: image.convert("L"), "JPEG", 90),
    "cropped, halved, poor": (lambda image: resize(0.5)(crop(0.05)(image)), "JPEG", 40),
}


@pytest.fixture(scope="module")
def originals():
    return [fingerprint_of(encode(picture(number))) for number in range(20)]


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found_among_other_photos(name, originals):
    change, file_format, quality = COPIES[name]
    for number in range(0, 20, 4):
        copy = fingerprint_of(encode(change(picture(number)), file_format, quality))
        assert groups_of([*originals, copy]) == [[number, 20]]


def test_different_photos_are_no_copies(originals):
    assert groups_of(originals) == []


@pytest.mark.parametrize("change", [ImageOps.mirror, ImageOps.flip, ImageOps.invert, crop(0.4)])
def test_another_picture_of_the_same_pixels_is_no_copy(change, originals):
    changed = [fingerprint_of(encode(change(picture(number)))) for number in range(20)]
    assert groups_of(originals + changed) == []


def test_small_noise_pictures_are_no_copies():
    random = np.random.default_rng(0)
    noise = [
        Image.fromarray(random.integers(0, 256, (32 + number % 32, 64, 3), dtype=np.uint8))
        for number in range(60)
    ]
    assert groups_of([fingerprint_of(encode(image)) for image in noise]) == []


def test_pictures_without_contrast_are_never_copies():
    colours = [(0, 0, 0), (255, 255, 255), (90, 90, 90), (255, 0, 0), (0, 0, 0)]
    flat = [fingerprint_of(encode(Image.new("RGB", (300, 300), colour))) for colour in colours]
    faint = np.random.default_rng(0).integers(100, 103, (256, 256, 3), dtype=np.uint8)
    assert groups_of([*flat, *2 * [fingerprint_of(encode(Image.fromarray(faint)))]]) == []


def test_copies_of_copies_are_one_group():
    image = picture(1)
    chain = [image, crop(left=0.1)(image), crop(left=0.19)(image)]
    fingerprints = [fingerprint_of(encode(one)) for one in chain]
    assert groups_of([fingerprints[0], fingerprints[2]]) == []
    assert groups_of(fingerprints) == [[0, 1, 2]]


def test_groups_do_not_depend_on_the_order(originals):
    copies = [fingerprint_of(encode(crop(top=0.05)(picture(number)))) for number in range(20)]
    fingerprints = originals + copies
    order = np.random.default_rng(0).permutation(40)
    groups = groups_of([fingerprints[place] for place in order])
    assert sorted(sorted(order[group].tolist()) for group in groups) == [
        [number, number + 20] for number in range(20)
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_photos_have_no_copies(count, originals):
    assert groups_of(originals[:count]) == []


def test_a_fingerprint_is_a_function_of_the_picture():
    data = prepare_photo(encode(picture(3)), SHORT_SIDE)
    assert fingerprint(data) == fingerprint(data)
    assert len(fingerprint(data)) == SIDE * SIDE
    # Grey ramp: each of the 20 columns is the mean of its share of the width.
    ramp = np.tile(np.arange(240, dtype=np.uint8), (240, 1))
    data = prepare_photo(encode(Image.fromarray(ramp).convert("RGB"), quality=100), SHORT_SIDE)
    tiny = np.frombuffer(fingerprint(data), np.uint8).reshape(SIDE, SIDE)
    np.testing.assert_allclose(tiny, np.tile(np.arange(5.5, 240, 12), (SIDE, 1)), atol=1.5)


def scattered(count):
    """Fingerprints of smooth random pictures, without the detour of a JPEG."""
    random = np.random.default_rng(5)
    grain = random.integers(0, 256, (count, 5, 5)).astype(np.float64)
    spread = np.array([np.interp(np.linspace(0, 4, SIDE), range(5), row) for row in np.eye(5)])
    return np.rint(spread.T @ grain @ spread).astype(np.uint8)


def test_copies_are_found_among_many_photos():
    pictures = scattered(8_000)
    pictures[4_000:4_050] = np.clip(pictures[:50].astype(int) + 4, 0, 255)
    groups = groups_of([picture.tobytes() for picture in pictures])
    assert groups == [[place, place + 4_000] for place in range(50)]


def one_view(count, noise):
    """Fingerprints of one picture, each with noise of its own."""
    random = np.random.default_rng(6)
    frames = scattered(401)[400] + random.normal(0, noise, (count, SIDE, SIDE))
    return [frame.tobytes() for frame in np.clip(np.rint(frames), 0, 255).astype(np.uint8)]


def bucket_of(picture, count):
    """Pictures of one hash that are no exact copies: these are resolved before."""
    bucket = np.repeat(picture[None], count, axis=0)
    bucket[:, 0, 0] = np.arange(count) % 7
    return bucket


def test_thousands_of_one_hash_are_one_group():
    pictures = scattered(40)
    bucket = bucket_of(pictures[0], 30 * BUCKET_PHOTOS)
    fingerprints = [picture.tobytes() for picture in [*pictures[1:], *bucket]]
    assert groups_of(fingerprints) == [list(range(39, 39 + 30 * BUCKET_PHOTOS))]


def test_pairs_of_one_group_are_not_compared_again(monkeypatch):
    """Frames of one view are all pairs of each other; a few comparisons of each join them."""
    compared = []
    are_copies = near_duplicates.are_copies

    def count(pictures, ones, others, window):
        compared.append(len(ones))
        return are_copies(pictures, ones, others, window)

    monkeypatch.setattr(near_duplicates, "are_copies", count)
    frames = one_view(600, noise=8)
    assert groups_of(frames) == [list(range(600))]
    assert sum(compared) < 20 * len(frames)  # and not 600 * 599 * 19 windows


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_find_the_same(threads, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MIN_BAR_PHOTOS", 0)
    monkeypatch.setattr(fingerprints_module, "HASHED_PHOTOS", 50)
    pictures = [picture.tobytes() for picture in scattered(400)]
    frames = [*one_view(80, noise=8), *pictures, *pictures[:30]]
    labels = [0, 1] * 40 + [0] * 430
    found = find_near_duplicates(frames, labels, threads)
    assert found.groups == [list(range(80)), *([80 + n, 480 + n] for n in range(30))]
    assert found.conflicting == set(range(80))


def test_only_direct_copies_of_another_label_are_in_conflict():
    chain = [fingerprint_of(encode(crop(left=cut)(picture(1)))) for cut in (0, 0.1, 0.19, 0.271)]
    found = find_near_duplicates(chain, [5, 5, 7, 7])
    assert found.groups == [[0, 1, 2, 3]]
    assert found.conflicting == {1, 2}
    assert find_near_duplicates(chain, [5, 5, 5, 5]).conflicting == set()


def test_one_hash_under_two_labels_is_in_conflict_as_a_whole():
    frames = [picture.tobytes() for picture in bucket_of(scattered(1)[0], 2 * BUCKET_PHOTOS)]
    labels = np.zeros(len(frames), int)
    labels[77] = 1
    assert find_near_duplicates(frames, labels).conflicting == set(range(len(frames)))


def test_a_copy_in_the_dirty_folder_is_found():
    folder = SHARED / "dirty" / "petra_jordan"
    if not folder.is_dir():
        pytest.skip(f"needs the photos of {folder}")
    names = ["good_0.jpeg", "good_2.jpeg", "good_4.jpeg", "duplicate_of_good_0.jpeg"]
    fingerprints = [fingerprint_of((folder / name).read_bytes()) for name in names]
    assert groups_of(fingerprints) == [[0, 3]]
