"""Scores of the table, by hand and on Gaussians."""

import copy

import numpy as np
import pytest
from keras import ops

from glr_keras.calibration.discriminant import fit_discriminant, shrink_covariance
from glr_keras.calibration.evidence import Evidence
from glr_keras.calibration.rejector import fit_rejector
from glr_keras.calibration.scores import (
    AGREEMENT,
    COMBINATION,
    DISCRIMINANT_NEIGHBOUR,
    ENERGY,
    ENTROPY,
    MAHALANOBIS,
    MAXIMUM,
    NEAREST,
    ONE_AGAINST_REST,
    PENALIZED,
    SCORES,
    TRAINED,
    fit_penalized,
)
from glr_keras.calibration.train_features import TrainFeatures, unit_roots

LOGITS = np.log(np.array([[8, 1, 1], [4, 3, 3]], np.float32))
OTHERS = np.log(np.array([[1, 8, 1], [4, 3, 3]], np.float32))
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]])


@pytest.fixture(scope="module")
def evidence():
    branches = {"attention": OTHERS, "perception": LOGITS}
    return Evidence(np.log(PROBABILITIES).astype(np.float32), branches)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (MAXIMUM, np.log([0.8, 0.4])),
        (ENERGY, np.log([10, 10])),
        (ENTROPY, -((PROBABILITIES * (1 - PROBABILITIES)) ** 0.1).sum(1)),
        (AGREEMENT, np.log([2 * np.sqrt(0.08) + 0.1, 1.0])),
        # Odds 1 : 8 : 1 and 4 : 3 : 3 of hits, each for itself.
        (ONE_AGAINST_REST, np.log([8 / 9 / 2 / 2, 4 / 5 / 4 / 4])),
    ],
)
def test_scores_of_answers_are_what_their_papers_say(evidence, score, expected):
    found = SCORES[score].compute(evidence, {})
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def places():
    """Train features and labels of 4 landmarks; validation; photos of 8 other places."""
    rng = np.random.default_rng(0)
    centres = 4 + rng.normal(size=(12, 20)) ** 2

    def photos(labels):
        return (centres[labels] + rng.normal(size=(len(labels), 20)) / 3).clip(0) ** 2

    known, validation, others = (
        np.repeat(np.arange(first, last), photos_of_each)
        for first, last, photos_of_each in ((0, 4, 40), (0, 4, 20), (4, 12, 10))
    )
    train = TrainFeatures(4, len(known))
    for rows in np.array_split(np.arange(len(known)), 3):
        train.update(photos(known[rows]).astype(np.float32), known[rows])
    return train, (photos(validation), validation), photos(others)


def evidence_of(features, labels):
    """Of a head that is quite sure, whatever the photo is."""
    answers = np.full((len(features), 4), np.log(0.1), np.float32)
    answers[np.arange(len(features)), labels] = np.log(0.7)
    return Evidence(answers, {"perception": answers}, features.astype(np.float32))


@pytest.mark.parametrize("score", [NEAREST, MAHALANOBIS, DISCRIMINANT_NEIGHBOUR, COMBINATION])
def test_scores_of_features_tell_other_places_whatever_the_head_says(places, score):
    train, (features, labels), others = places
    rejector = fit_rejector(evidence_of(features, labels), labels, train, score, accept=0.9)
    weights = {"part_weights"} if score == COMBINATION else set()
    assert set(rejector.arrays) == {*SCORES[score].arrays, *weights, "reference"}
    known = rejector.judge(evidence_of(features, labels))
    other = rejector.judge(evidence_of(others, np.zeros(len(others), int)))
    assert np.mean(known["is_landmark"]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(other["is_landmark"]) < 0.2


def test_a_train_photo_is_penalized_by_how_similar_other_places_are():
    train = TrainFeatures(2, 2)
    train.update(np.float32([[9, 0, 16], [0, 1, 0]]), np.array([0, 1]))
    roots = np.array([[0.6, 0, 0.8], [0, 1, 0]])
    for others in (np.eye(3), 4 * np.eye(3)[:1], np.eye(3)[2:]):  # by ones and threes
        train.update_others(others.astype(np.float32))
    expected = [(0.8 + 0.8 + 0.6 + 0.6 + 0) / 5, (1 + 0 + 0 + 0 + 0) / 5]
    np.testing.assert_allclose(train.penalties, expected, atol=2e-3)
    arrays = fit_penalized(train, None)
    assert arrays["bank"].dtype == np.float16
    photo = Evidence(None, {}, np.float32([[0, 0, 4], [0, 1, 1]]))
    found = SCORES[PENALIZED].compute(photo, arrays)
    cosines = np.array([[0, 0, 1], [0, 0.5**0.5, 0.5**0.5]]) @ roots.T
    np.testing.assert_allclose(found, (cosines - expected).max(1), atol=2e-3)


def test_photos_of_other_places_are_needed_where_a_score_takes_them(places):
    train, (features, labels), _ = places
    with pytest.raises(ValueError, match="needs photos of other places"):
        fit_rejector(evidence_of(features, labels), labels, train, TRAINED)


@pytest.mark.parametrize("score", [PENALIZED, TRAINED])
def test_photos_of_other_places_train_a_score(places, score):
    """Half of the other places are learned from, and the rest is measured."""
    train, (features, labels), others = places
    learned, measured = np.split(others.astype(np.float32), 2)
    train = copy.copy(train)
    train.update_others(learned)
    rejector = fit_rejector(evidence_of(features, labels), labels, train, score, accept=0.9)
    weights = {"part_weights"} if score == TRAINED else set()
    assert set(rejector.arrays) == {*SCORES[score].arrays, *weights, "reference"}
    of_learned = evidence_of(learned, np.zeros(len(learned), int))
    assert not np.any(rejector.judge(of_learned)["is_landmark"])
    other = rejector.judge(evidence_of(measured, np.zeros(len(measured), int)))
    assert np.mean(other["is_landmark"]) < 0.2


def test_the_untrained_combination_is_computed_from_the_arrays_of_the_trained_one(places):
    train, (features, labels), others = places
    evidence = evidence_of(features, labels)
    expected = fit_rejector(evidence, labels, train)
    train = copy.copy(train)
    train.update_others(others.astype(np.float32))
    trained = fit_rejector(evidence, labels, train)
    assert (expected.score, trained.score) == (COMBINATION, TRAINED)
    scores = trained.scores(evidence, COMBINATION)
    np.testing.assert_allclose(scores, expected.scores(evidence), rtol=1e-5, atol=1e-5)


def test_the_entropy_counts_twice_unless_an_earlier_version_fitted_the_combination(places):
    train, (features, labels), _ = places
    evidence = evidence_of(features, labels)
    arrays = SCORES[COMBINATION].fit(train, evidence)
    parts = [SCORES[name].compute(evidence, arrays) for name in (ENTROPY, MAHALANOBIS)]
    each = (np.stack(parts) - np.c_[arrays["part_means"]]) / np.c_[arrays["part_deviations"]]
    found = SCORES[COMBINATION].compute(evidence, arrays)
    np.testing.assert_allclose(found, (2 * each[0] + each[1]) / 3, rtol=1e-4, atol=1e-4)
    del arrays["part_weights"]
    assert SCORES[COMBINATION].is_computable(evidence, arrays)
    found = SCORES[COMBINATION].compute(evidence, arrays)
    np.testing.assert_allclose(found, each.mean(0), rtol=1e-4, atol=1e-4)


def test_a_landmark_without_train_photos_is_no_nearer_than_any_place(places):
    train, (features, labels), _ = places
    features = features.astype(np.float32)
    wider = TrainFeatures(5, train.photos)
    wider.counts = np.append(train.counts, 0)
    wider.sums = np.vstack([train.sums, np.zeros(20)])
    wider.squares = train.squares
    arrays = SCORES[MAHALANOBIS].fit(wider, None)
    assert np.isfinite(arrays["means"]).all()
    answers = np.zeros((len(features), 5), np.float32)
    answers[:, 4] = 1
    found = SCORES[MAHALANOBIS].compute(Evidence(answers, {}, features), arrays)
    answers[:, 4] = -1
    answers[np.arange(len(labels)), labels] = 1
    own = SCORES[MAHALANOBIS].compute(Evidence(answers, {}, features), arrays)
    assert (np.asarray(found) < np.asarray(own)).all()


def test_a_covariance_of_few_photos_is_drawn_to_the_identity_and_of_many_kept():
    covariance = np.diag([3.0, 1.0])
    np.testing.assert_allclose(shrink_covariance(covariance, 10**6), covariance, atol=1e-4)
    few = shrink_covariance(covariance, 2)
    assert np.trace(few) == pytest.approx(4)
    np.testing.assert_allclose(few, 2 * np.eye(2))
    # rho = trace ** 2 / ((n + 1 - 2 / 2) * (10 - 16 / 2)): 16 / (2 n).
    np.testing.assert_allclose(shrink_covariance(covariance, 16), np.diag([2.5, 1.5]))


def test_features_are_needed_where_a_score_takes_them(places):
    _, (features, labels), _ = places
    with pytest.raises(ValueError, match="'combination' needs the features of train photos"):
        fit_rejector(evidence_of(features, labels), labels, None, COMBINATION)
    live = fit_rejector(evidence_of(features, labels), labels)
    assert live.score == ENTROPY


def test_a_photo_of_each_landmark_is_enough_for_distances():
    photos = np.random.default_rng(0).uniform(0, 9, (3, 16)).astype(np.float32)
    train = TrainFeatures(3, 3)
    train.update(photos, np.arange(3))
    arrays = fit_discriminant(train)
    assert all(np.isfinite(values).all() for values in arrays.values())
    seen = np.asarray(unit_roots(photos)) @ arrays["projection"]
    distances = ((seen[:, None] - arrays["means"]) ** 2).sum(-1)
    np.testing.assert_array_equal(distances.argmin(1), np.arange(3))


def test_a_photo_without_any_feature_spoils_no_statistics():
    roots = ops.convert_to_numpy(unit_roots(np.float32([[0, 0, 0], [4, 0, 0]])))
    np.testing.assert_allclose(roots, [[0, 0, 0], [1, 0, 0]], atol=1e-3)
