"""The nearest neighbour among train photos, by hand."""

import numpy as np

from glr_keras.evaluation.baselines import nearest_labels
from glr_keras.features.store import FeatureViews
from glr_keras.features.view_files import ViewFile


def views(folder, name, labels, *features_of_views):
    """Stores features `(photos, 1, 2, 2)` whose averages over space are the ones given."""
    files = {}
    for number, features in enumerate(features_of_views):
        offset = np.array([[[[1, -1], [-1, 1]]]])
        features = np.array(features, np.float16)[:, None, None, :] + offset
        files[number] = ViewFile(folder / f"{name}-{number}.npy", features.shape)
        files[number].write_block(0, features)
    photo_ids = [str(number) for number in range(len(labels))]
    return FeatureViews(name, files, np.array(labels, np.int64), photo_ids)


def test_the_nearest_photo_is_the_one_with_the_smallest_angle_in_any_view(tmp_path):
    train = views(
        tmp_path, "train", [4, 5, 6], [[1, 0], [0, 9], [-1, 0]], [[1, 0], [0, 9], [-3, -3]]
    )
    photos = views(tmp_path, "test", [0] * 4, [[8, 1], [1, 2], [-1, -2], [-9, 1]])
    np.testing.assert_array_equal(nearest_labels(train, photos), [4, 5, 6, 6])


def test_of_equally_near_photos_the_first_counts(tmp_path):
    train = views(tmp_path, "train", [7, 3], [[1, 1], [2, 2]])
    photos = views(tmp_path, "test", [0], [[4, 0]])
    np.testing.assert_array_equal(nearest_labels(train, photos), [7])
