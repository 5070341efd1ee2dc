"""The last step of training: temperature and rejector, from validation photos."""

from collections.abc import Iterable

import numpy as np

from glr_keras.calibration.evidence import Evidence, EvidenceCollector, average
from glr_keras.calibration.rejector import Rejector, fit_rejector
from glr_keras.calibration.reliability import measure_calibration
from glr_keras.calibration.score_histogram import score_histogram
from glr_keras.calibration.train_features import TrainFeatures
from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.run_dir import RunDir
from glr_keras.training.batches import Source, StoredFeatures


def fit_run_rejector(run: RunDir, source: Source, validation: EvidenceCollector) -> Rejector | None:
    """Fits the rejector of a run and writes it; None without validation photos."""
    if not validation.photos:
        return None
    rejector = fit_rejector(validation.evidence, validation.labels, _train_features(source))
    rejector.save(run.path)
    return rejector


def try_rejector(rejector: Rejector, measured: SplitMetrics, test: EvidenceCollector) -> dict:
    """Tries temperature and rejector on test photos.

    Args:
        rejector: Of the run.
        measured: On the test photos, at its temperature.
        test: What the model says of them; of very many, of a part.

    Returns:
        What `metrics.json` says of it: "rejection" and "calibration"; without test photos, the
        first one only.
    """
    if not test.photos:
        return {"rejection": rejector.summary}
    of_test = measure_on_test(rejector, test.evidence, test.labels)
    calibration = measure_calibration(
        np.exp(measured.of_photos("score")),
        np.exp(measured.of_photos("scaled_score")),
        measured.predicted() == measured.labels,
        rejector.temperature,
    )
    return {"rejection": rejector.summary | of_test, "calibration": calibration}


def measure_on_test(rejector: Rejector, evidence: Evidence, labels: np.ndarray) -> dict:
    """Tries a rejector on test photos, all of known landmarks.

    Returns:
        Dict of "test_accepted", the fraction that it accepts; "test_accuracy_of_accepted", None if
        there are none; "histogram" of the score, from `score_histogram`.
    """
    correct = np.asarray(evidence.log_probabilities).argmax(1) == labels
    accepted = np.asarray(rejector.judge(evidence)["is_landmark"])
    scores = np.asarray(rejector.scores(evidence))
    return {
        "test_accepted": float(accepted.mean()),
        "test_accuracy_of_accepted": float(correct[accepted].mean()) if accepted.any() else None,
        "histogram": score_histogram(scores, threshold=rejector.threshold),
    }


def _train_features(source):
    """Sums up the stored features of all train views; None of a live run, which has none."""
    if not isinstance(source, StoredFeatures):
        return None
    labels, _ = source.index("train")
    return sum_features(source.in_order("train"), source.num_landmarks, len(labels))


def sum_features(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], num_landmarks: int, photos: int
) -> TrainFeatures:
    """Sums up the stored features of train photos.

    Args:
        batches: Features `(batch, height, width, channels)` and labels `(batch,)`, view after view.
        num_landmarks: Int.
        photos: Int, photos of each view.
    """
    train = TrainFeatures(num_landmarks, photos)
    for features, labels in batches:
        train.update(average(features), labels)
    return train
