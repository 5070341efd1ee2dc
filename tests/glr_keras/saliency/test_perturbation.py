"""Perturbed photos: pixel by pixel where that can be said, against an exact solver where not."""

import cv2
import numpy as np
import pytest

from glr_keras.saliency.grids import fill_cells
from glr_keras.saliency.perturbation import PerturbedPhoto, blur_baseline, impute

MEAN = (10.0, 20.0, 30.0)


def a_photo(height=8, width=8):
    return np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)


def perturbed(photo=None, seed=0):
    photo = a_photo() if photo is None else photo
    return PerturbedPhoto(photo, np.array(MEAN), np.random.default_rng(seed))


def versions(photo, size=4):
    return np.concatenate(list(photo.batches(size)))[: len(photo)]


def test_removed_cells_are_replaced_and_others_untouched():
    photo = perturbed()
    removed = np.array([[True, False], [False, False]])
    assert [photo.without("mean", removed), photo.without("blur", removed)] == [0, 1]
    grey, blur = versions(photo)
    np.testing.assert_array_equal(grey[:4, :4], np.broadcast_to(np.float32(MEAN), (4, 4, 3)))
    np.testing.assert_array_equal(blur[:4, :4], blur_baseline(a_photo())[:4, :4])
    for one in (grey, blur):
        np.testing.assert_array_equal(one[4:], a_photo()[4:])
        np.testing.assert_array_equal(one[:, 4:], a_photo()[:, 4:])


def test_blur_is_that_of_rise():
    photo = a_photo(40, 30)
    weights = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 5**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    expected = (photo[10:21, 10:21] * kernel[..., None]).sum((0, 1))
    np.testing.assert_allclose(blur_baseline(photo)[15, 15], expected, rtol=1e-4)


def test_the_same_version_is_made_once():
    photo = perturbed()
    removed = np.array([[True, False]])
    none, everything = np.zeros((1, 2), bool), np.ones((1, 2), bool)
    numbers = [
        photo.without("mean", removed),
        photo.without("mean", removed.copy()),
        photo.without("mean", none),
        photo.without("blur", none),  # the clean photo, too
        photo.without("mean", everything),
        photo.without("blur", everything),
    ]
    assert numbers == [0, 0, 1, 1, 2, 3]
    assert len(photo) == 4
    np.testing.assert_array_equal(versions(photo)[1], a_photo())


def test_batches_have_one_size():
    photo = perturbed()
    for cell in range(5):
        photo.without("mean", np.arange(8).reshape(2, 4) == cell)
    assert [batch.shape for batch in photo.batches(3)] == [(3, 8, 8, 3)] * 2


def test_multiplied_by_a_map_about_the_mean():
    photo = perturbed()
    photo.multiplied(np.array([[3.0, 5.0]]))  # scaled to 0 and 1
    multiplied = versions(photo)[0]
    weights = np.clip((np.arange(8) + 0.5 - 2) / 4, 0, 1)[None, :, None]
    np.testing.assert_allclose(multiplied, MEAN + weights * (a_photo() - MEAN), rtol=1e-5)


def test_one_removed_pixel_is_the_weighted_mean_of_its_neighbours():
    photo = a_photo(3, 3)
    removed = np.zeros((3, 3), bool)
    removed[1, 1] = True
    filled = impute(photo, removed, np.zeros_like(photo))
    direct = photo[0, 1] + photo[2, 1] + photo[1, 0] + photo[1, 2]
    diagonal = photo[0, 0] + photo[2, 2] + photo[2, 0] + photo[0, 2]
    np.testing.assert_allclose(filled[1, 1], direct / 6 + diagonal / 12, rtol=1e-5)
    filled[1, 1] = photo[1, 1]
    np.testing.assert_array_equal(filled, photo)


def test_noise_is_added_to_removed_pixels_alone():
    photo = np.full((8, 8, 1), 50, np.float32)
    noise = np.full_like(photo, 3)
    removed = fill_cells(np.array([[False, True], [True, True]]), 8, 8)
    np.testing.assert_allclose(impute(photo, removed, noise)[..., 0], np.where(removed, 53, 50))


@pytest.mark.parametrize("fraction", [0.3, 0.8])
def test_imputation_solves_the_system(fraction):
    random = np.random.default_rng(1)
    photo = cv2.GaussianBlur(random.uniform(-800, 1000, (42, 36, 3)).astype(np.float32), (0, 0), 4)
    cells = random.random((7, 6)) < fraction
    cells[0, 0], cells[3, 3] = False, True
    removed = fill_cells(cells, 42, 36)
    expected = exact_imputation(photo, removed)
    error = np.abs(impute(photo, removed, np.zeros_like(photo)) - expected)[removed]
    assert error.mean() < 0.03 * expected[removed].std()
    assert np.abs(blur_baseline(photo) - expected)[removed].mean() > 10 * error.mean()


def exact_imputation(photo, removed):
    """Solves the dense system."""
    height, width = removed.shape
    matrix, known = np.eye(height * width), photo.reshape(height * width, -1).astype(float)
    for y, x in zip(*np.nonzero(removed), strict=True):
        row = y * width + x
        known[row] = 0
        matrix[row, row] = 0
        for down, across in np.ndindex(3, 3):
            other_y, other_x = y + down - 1, x + across - 1
            inside = 0 <= other_y < height and 0 <= other_x < width
            if inside and (down, across) != (1, 1):
                weight = 1 / 6 if 1 in (down, across) else 1 / 12
                matrix[row, other_y * width + other_x] = -weight
                matrix[row, row] += weight
    return np.linalg.solve(matrix, known).reshape(photo.shape)
