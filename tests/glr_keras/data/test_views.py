"""One photo -> one view: what a view shows, and that it can be made again anywhere."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.data.views import eval_view, eval_window, make_view, train_view

CONFIG = FitConfig(image_size=32)
# Nothing but what a test turns on.
PLAIN = FitConfig(image_size=32, rotation=0.0, min_crop_area=1.0, brightness=0.0, flip=False)


def noise(height, width):
    """A photo in which no two places look alike."""
    values = np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3))
    return values.astype(np.uint8)


def ramps(height, width):
    """A photo whose red is x and whose green is y, in pixels."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0] = np.arange(width)
    photo[..., 1] = np.arange(height)[:, None]
    return photo


def views_of(photo, config, photo_ids=100, view=0):
    """Train views of one photo under many photo ids, made inside tf.data."""
    ids = tf.data.Dataset.from_tensor_slices([str(number) for number in range(photo_ids)])
    pixels = tf.constant(photo)
    made = ids.map(
        lambda photo_id: train_view(pixels, photo_id, view, config),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return next(iter(made.batch(photo_ids))).numpy()


def one_view(photo, photo_id="tower/1.jpg", view=0, config=CONFIG):
    return train_view(tf.constant(photo), tf.constant(photo_id), view, config).numpy()


@functools.cache
def jacobians_at_the_centre(config, side=100):
    """How far one step right (column 0) and down (1) in a view goes in the photo, in pixels.

    The centre of every crop lies inside the photo, so its four middle pixels show no filling.
    """
    middle = config.image_size // 2
    shown = views_of(ramps(side, side), config)[..., :2].astype(np.float64)
    right = shown[:, middle, middle] - shown[:, middle, middle - 1]
    down = shown[:, middle, middle] - shown[:, middle - 1, middle]
    return np.stack([right, down], axis=-1)


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [
        (256, 256, 16, 16),
        (256, 340, 16, 58),
        (256, 341, 16, 58),
        (384, 256, 80, 16),
        (383, 256, 79, 16),
    ],
)
def test_eval_view_of_short_side_256_is_its_own_centre_pixels(height, width, top, left):
    photo = noise(height, width)
    view = eval_view(tf.constant(photo), 224, "center")
    assert view.dtype == tf.float32
    np.testing.assert_array_equal(view, photo[top : top + 224, left : left + 224])


def test_the_whole_photo_is_its_own_pixels_or_all_of_them_squeezed():
    photo = noise(64, 64)
    np.testing.assert_array_equal(eval_view(tf.constant(photo), 64, "whole"), photo)
    wide = np.repeat(photo, 2, axis=1)  # each pixel twice: squeezed to half its width, it is again
    np.testing.assert_allclose(eval_view(tf.constant(wide), 64, "whole"), photo, atol=1e-3)
    marked = np.zeros((50, 90, 3), np.uint8)
    marked[:5, :9], marked[-5:, -9:] = 255, 100  # two corners
    view = eval_view(tf.constant(marked), 10, "whole").numpy()
    np.testing.assert_allclose(view[0, 0], 255, atol=1e-3)
    np.testing.assert_allclose(view[-1, -1], 100, atol=1e-3)
    assert view.sum() == pytest.approx(3 * 355, abs=0.1)


@pytest.mark.parametrize("framing", ["whole", "center"])
def test_the_eval_window_is_where_the_eval_view_lies(framing):
    view = eval_view(tf.constant(ramps(60, 100)), 20, framing).numpy()
    ymin, xmin, ymax, xmax = eval_window(60, 100, framing)
    rows, columns = (np.arange(20) + 0.5) / 20, (np.arange(20) + 0.5) / 20
    expected = (ymin + rows * (ymax - ymin)) * 60 - 0.5
    np.testing.assert_allclose(view[:, 5, 1], expected, atol=0.01)
    expected = (xmin + columns * (xmax - xmin)) * 100 - 0.5
    np.testing.assert_allclose(view[5, :, 0], expected, atol=0.01)


def test_view_0_is_the_eval_view_where_asked_and_the_others_are_augmented():
    photo = noise(50, 60)
    config = dataclasses.replace(CONFIG, plain_view=True)
    made = [make_view(photo, "tower/1.jpg", view, config) for view in (None, 0, 1)]
    plain = eval_view(photo, config.image_size, config.framing)
    np.testing.assert_array_equal(made[0], plain)
    np.testing.assert_array_equal(made[1], plain)
    np.testing.assert_array_equal(made[2], one_view(photo, view=1))
    config = dataclasses.replace(config, plain_view=False)
    np.testing.assert_array_equal(make_view(photo, "tower/1.jpg", 0, config), one_view(photo))


def test_eval_view_shows_the_same_part_of_a_photo_of_any_size():
    def smooth(scale):
        y, x = (np.mgrid[: 64 * scale, : 96 * scale] + 0.5) / scale
        waves = [np.sin(x / 9), np.sin(y / 7), np.sin((x + y) / 11)]
        return tf.constant(np.round(127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8))

    once, thrice = (eval_view(smooth(scale), 56, "center") for scale in (1, 3))
    np.testing.assert_allclose(once, thrice, atol=2)  # one pixel to the side would be 23


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 47), (256, 2000), (2000, 256)])
def test_tiny_photos_and_panoramas_have_views(height, width):
    photo = noise(height, width)
    for view in (
        eval_view(tf.constant(photo), 48, "whole"),
        eval_view(tf.constant(photo), 48, "center"),
        one_view(photo, config=FitConfig(image_size=48)),
    ):
        assert view.shape == (48, 48, 3)
        assert view.dtype == np.float32
        assert 0 <= np.min(view) < np.max(view) <= 255


def test_eval_view_is_the_same_inside_tf_data():
    photo = noise(70, 91)
    made = tf.data.Dataset.from_tensors(photo).map(lambda pixels: eval_view(pixels, 48, "whole"))
    np.testing.assert_array_equal(next(iter(made)), eval_view(tf.constant(photo), 48, "whole"))


def test_same_photo_view_and_seed_same_view_eagerly_and_in_parallel():
    photo = noise(50, 60)
    parallel = views_of(photo, CONFIG, photo_ids=20, view=3)
    for number, view in enumerate(parallel):
        np.testing.assert_allclose(view, one_view(photo, str(number), 3), atol=1e-3)
    np.testing.assert_array_equal(parallel, views_of(photo, CONFIG, photo_ids=20, view=3))


@pytest.mark.parametrize("other", [{"photo_id": "tower/2.jpg"}, {"view": 1}, {"seed": 1}])
def test_another_photo_id_view_or_seed_is_another_view(other):
    photo = noise(50, 60)
    config = dataclasses.replace(CONFIG, seed=other.pop("seed", 0))
    assert np.abs(one_view(photo) - one_view(photo, config=config, **other)).mean() > 10


def test_views_of_one_seed_are_not_those_of_the_next():
    photo = noise(50, 60)
    seeds = [dataclasses.replace(CONFIG, seed=seed) for seed in (0, 1, 2**31 - 1)]
    views = [one_view(photo, view=view, config=config) for config in seeds for view in (0, 1, 99)]
    assert len({view.tobytes() for view in views}) == 9


def test_without_augmentation_the_view_of_a_square_photo_is_the_photo():
    photo = noise(32, 32)
    views = views_of(photo, PLAIN)
    np.testing.assert_allclose(views, np.broadcast_to(photo, views.shape), atol=0.05)


def test_flip_mirrors_exactly_and_about_half():
    photo = noise(50, 50)
    for settings in (PLAIN, dataclasses.replace(CONFIG, flip=False)):
        straight = views_of(photo, settings)
        flipped = views_of(photo, dataclasses.replace(settings, flip=True))
        kept = [np.allclose(a, b, atol=0.05) for a, b in zip(straight, flipped, strict=True)]
        mirrored = np.isclose(straight[:, :, ::-1], flipped, atol=0.05).all((1, 2, 3))
        assert (kept ^ mirrored).all()
        assert 35 <= mirrored.sum() <= 65  # of 100; the standard deviation is 5


def test_without_flip_no_view_is_mirrored():
    config = dataclasses.replace(CONFIG, flip=False, brightness=0.0)
    assert (np.linalg.det(jacobians_at_the_centre(config)) > 0).all()


def test_with_flip_about_half_of_all_turned_views_are_mirrored():
    config = dataclasses.replace(CONFIG, brightness=0.0)
    assert 35 <= (np.linalg.det(jacobians_at_the_centre(config)) < 0).sum() <= 65


@pytest.mark.parametrize("rotation", [15.0, 45.0, 180.0])
def test_views_turn_both_ways_up_to_the_rotation(rotation):
    config = dataclasses.replace(PLAIN, rotation=rotation)
    steps = jacobians_at_the_centre(config)
    angles = np.degrees(np.arctan2(steps[:, 1, 0], steps[:, 0, 0]))
    assert np.abs(angles).max() <= rotation + 0.1
    assert angles.min() < -0.9 * rotation
    assert angles.max() > 0.9 * rotation
    assert abs(np.abs(angles).mean() - rotation / 2) < 0.1 * rotation  # spread evenly


def test_a_turned_view_is_not_sheared():
    config = dataclasses.replace(CONFIG, brightness=0.0)
    right, down = np.moveaxis(jacobians_at_the_centre(config), -1, 0)
    np.testing.assert_allclose((right * down).sum(-1), 0, atol=0.01)


@pytest.mark.parametrize("min_crop_area", [0.1, 0.5, 0.9])
def test_crops_keep_their_share_of_the_area_and_their_shape(min_crop_area):
    config = dataclasses.replace(PLAIN, min_crop_area=min_crop_area)
    steps = jacobians_at_the_centre(config)
    width, height = (steps[:, axis, axis] * config.image_size / 100 for axis in (0, 1))
    assert (width * height).min() > min_crop_area - 0.005
    assert (width * height).min() < min_crop_area + 0.05
    assert max(width.max(), height.max()) < 1.005
    assert (width / height).min() > 3 / 4 - 0.01
    assert (width / height).max() < 4 / 3 + 0.01


def test_crops_reach_every_edge_of_the_photo():
    config = dataclasses.replace(PLAIN, min_crop_area=0.5)
    shown = views_of(ramps(100, 100), config)[..., :2]
    assert shown.min((0, 1, 2)).max() < 5
    assert shown.max((0, 1, 2)).min() > 94


def test_filled_corners_are_the_photo_again_not_black():
    photo = np.full((40, 60, 3), (200, 120, 40), np.uint8)
    views = views_of(photo, FitConfig(image_size=32, rotation=180.0, brightness=0.0))
    np.testing.assert_allclose(views, np.broadcast_to(photo[0, 0], views.shape), atol=1e-3)


def test_brightness_scales_within_its_range_and_covers_it():
    photo = np.full((40, 40, 3), (100, 150, 50), np.uint8)
    views = views_of(photo, dataclasses.replace(CONFIG, brightness=0.25))
    factors = views / photo[0, 0]
    # One factor for all pixels and colours of a view.
    np.testing.assert_allclose(
        factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), 1e-4
    )
    assert 0.75 - 1e-4 <= factors.min() < 0.77
    assert 1.23 < factors.max() <= 1.25 + 1e-4
    assert abs(factors.mean() - 1) < 0.03


def test_views_stay_in_range():
    views = views_of(noise(40, 50), dataclasses.replace(CONFIG, brightness=0.9))
    assert views.dtype == np.float32
    assert 0 <= views.min() < 1
    assert views.max() == 255


def test_half_size_averages_what_it_cannot_show():
    checkerboard = np.indices((256, 256)).sum(0) % 2 * 255
    photo = np.repeat(checkerboard[..., None], 3, axis=-1).astype(np.uint8)
    np.testing.assert_allclose(eval_view(tf.constant(photo), 112, "center"), 127.5, atol=1)


def test_turned_half_size_views_have_no_pattern_either():
    checkerboard = np.indices((256, 256)).sum(0) % 2 * 255
    photo = np.repeat(checkerboard[..., None], 3, axis=-1).astype(np.uint8)
    config = FitConfig(image_size=64, brightness=0.0)
    views = views_of(photo, config, 20)
    assert abs(views.mean() - 127.5) < 2
    assert views.std() < 25  # 127.5 without averaging


def test_straight_lines_stay_straight():
    config = dataclasses.replace(CONFIG, rotation=20.0, brightness=0.0)
    middle = views_of(ramps(100, 100), config)[:, 12:20, 12:20, :2]
    for axis in (1, 2):
        np.testing.assert_allclose(np.diff(middle, n=2, axis=axis), 0, atol=0.05)
