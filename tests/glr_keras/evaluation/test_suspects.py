"""Photos whose label may be wrong, from a few Gaussians."""

import numpy as np
import pytest

from glr_keras.evaluation.suspects import cross_validate, find_suspects
from glr_keras.features.store import FeatureViews
from glr_keras.runs.suspects import FILE, FOLDER, read_suspects, write_suspects


class Features:
    """Stands for a `ViewFile`."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def rows(self, numbers):
        return self.values[numbers]


def views_of(features, labels):
    photo_ids = [f"p{number}" for number in range(len(labels))]
    file = Features(features[:, None, None].astype(np.float16))
    return FeatureViews("train", {0: file}, labels, photo_ids)


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    centres = 9 * rng.random((4, 16))
    return (centres[labels] + rng.normal(size=(200, 16))).clip(0), labels


def test_planted_labels_come_first(places, tmp_path):
    features, labels = places
    wrong = labels.copy()
    planted = [3, 50, 111, 190]
    wrong[planted] = (wrong[planted] + 1) % 4
    views = {
        "train": views_of(features[:150], wrong[:150]),
        "test": views_of(features[150:], wrong[150:]),
    }
    suspects = find_suspects(views, ["a", "b", "c", "d"])
    found = {(one.split, one.number) for one in suspects[:4]}
    assert found == {("train", 3), ("train", 50), ("train", 111), ("test", 40)}
    names = "abcd"
    first = suspects[0]
    row = first.number + (150 if first.split == "test" else 0)
    assert (first.label, first.likelier) == (names[wrong[row]], names[labels[row]])
    assert first.score < 0
    assert read_suspects(tmp_path, 2) is None
    (tmp_path / FOLDER).mkdir(parents=True)
    write_suspects(suspects, tmp_path / FOLDER / FILE)
    assert read_suspects(tmp_path, 3) == suspects[:3]


def test_no_photo_is_answered_by_a_model_that_has_seen_it(places):
    _, labels = places
    noise = np.random.default_rng(1).normal(size=(200, 400)).astype(np.float32)
    accuracy = (cross_validate(noise, labels, 4).argmax(1) == labels).mean()
    assert accuracy < 0.45  # by heart it would be 1: there are more channels than photos
