"""Logistic regression on stored features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from glr_keras.config import FitConfig
from glr_keras.models.heads import build_head
from glr_keras.runs.run_dir import RunDir
from glr_keras.training import logistic
from glr_keras.training.logistic import CrossEntropy, fit_logistic

LANDMARKS, CHANNELS = 3, 5


class Views:
    """Feature maps of 2 x 2 cells around a mean for each landmark, in place of stored ones."""

    def __init__(self, seed=0, spread=1.5):
        random = np.random.default_rng(seed)
        means = random.uniform(0, 2, (LANDMARKS, CHANNELS))
        self.train, self.validation = (
            self._draw(random, means, spread, count) for count in (90, 60)
        )

    def _draw(self, random, means, spread, count):
        labels = np.arange(count) % LANDMARKS
        noise = random.normal(0, spread, (count, 2, 2, CHANNELS))
        return (means[labels][:, None, None] + noise).astype("float16"), labels

    def in_order(self, split):
        features, labels = getattr(self, split)
        yield features[:50], labels[:50]
        yield features[50:], labels[50:]


def fit(folder, **settings):
    config = FitConfig(head="logistic", **settings)
    head = build_head(config, LANDMARKS, (2, 2, CHANNELS))
    folder.mkdir(parents=True, exist_ok=True)
    return head, fit_logistic(head, Views(), config, RunDir(folder))


@pytest.mark.parametrize("pooling", ["average", "root"])
def test_it_is_what_scikit_learn_finds_with_the_same_penalty(tmp_path, monkeypatch, pooling):
    l2 = 0.01
    monkeypatch.setattr(logistic, "L2", np.array([l2]))
    head, _ = fit(tmp_path, pooling=pooling)
    features, labels = Views().train
    pooled = head.pool(features)
    scaled = (pooled - pooled.mean(0)) / pooled.std(0)
    expected = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-8, max_iter=1000)
    expected.fit(scaled, labels)
    found = np.asarray(head.probabilities(features))
    np.testing.assert_allclose(found, expected.predict_proba(scaled), atol=2e-3)


@pytest.mark.parametrize("l2", [1e-1, 1e-5])
def test_photos_that_can_be_told_apart_are_fitted_to_convergence_too(l2):
    random = np.random.default_rng(0)
    labels = np.arange(90) % LANDMARKS
    features = random.normal(size=(90, CHANNELS)).astype("float32") + 4 * np.eye(CHANNELS)[labels]
    features = ((features - features.mean(0)) / features.std(0)).astype("float32")
    objective = CrossEntropy(features, labels, np.ones(90, "float32"), LANDMARKS)
    parameters, value = objective.minimize(l2, objective.start())
    expected = LogisticRegression(C=1 / (l2 * 90), tol=1e-8, max_iter=10000).fit(features, labels)
    chances = expected.predict_proba(features)[range(90), labels]
    lowest = -np.log(chances).mean() + l2 / 2 * (expected.coef_**2).sum()
    assert value == pytest.approx(lowest, rel=1e-2)
    assert value == pytest.approx(objective.minimize(l2, parameters)[1], rel=1e-2)


def test_one_landmark_needs_no_weights():
    objective = CrossEntropy(np.ones((4, 2), "float32"), np.zeros(4, int), np.ones(4), 1)
    parameters, value = objective.minimize(0.01, objective.start())
    assert value == 0
    assert not parameters.any()


def test_no_point_is_evaluated_twice(monkeypatch):
    points, evaluate = [], CrossEntropy._value_and_slope

    def count(self, flat, l2):
        points.append(flat.tobytes())
        return evaluate(self, flat, l2)

    monkeypatch.setattr(CrossEntropy, "_value_and_slope", count)
    features = np.random.default_rng(0).normal(size=(90, CHANNELS)).astype("float32")
    objective = CrossEntropy(features, np.arange(90) % LANDMARKS, np.ones(90), LANDMARKS)
    objective.minimize(0.01, objective.start(), objective.start() + 1)
    assert len(points) == len(set(points)) > 3


def test_the_penalty_of_the_highest_validation_accuracy_is_kept(tmp_path):
    head, state = fit(tmp_path)
    assert [row["l2"] for row in state.history] == list(logistic.L2)
    accuracies = [row["val_accuracy"] for row in state.history]
    assert accuracies[state.best_epoch] == max(accuracies)
    features, labels = Views().validation
    reached = (np.asarray(head.probabilities(features)).argmax(1) == labels).mean()
    assert reached == pytest.approx(max(accuracies))


def test_the_same_photos_give_the_same_weights(tmp_path):
    first, second = (fit(tmp_path / name, seed=seed)[0] for name, seed in (("a", 0), ("b", 1)))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
