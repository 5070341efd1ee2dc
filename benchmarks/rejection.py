"""How well scores tell other places from known landmarks: python benchmarks/rejection.py RUN

Leaves a fifth of the run's landmarks out, five times over; trains its head anew on the others, from
the features that the run has stored; and asks which test photos of the others, and which photos of
those left out, each score takes for known. What is left out are landmarks too: near ones, harder to
tell than any photo of people or dogs. Training takes as long as five times that of the run.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from show import print_context

FOLDS = 5


@dataclasses.dataclass(frozen=True)
class PhotosOf:
    """A `ViewFile` of some of the photos: `rows` counts these only."""

    file: object
    numbers: np.ndarray

    @property
    def shape(self):
        return (len(self.numbers), *self.file.shape[1:])

    def rows(self, rows):
        return self.file.rows(self.numbers[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a complete run with stored features")
    parser.add_argument("--data-dir", type=Path, help="its records, if they were moved")
    parser.add_argument("--seed", type=int, default=0, help="of the landmarks left out")
    args = parser.parse_args()
    print_context()

    from glr_keras.config import read_json
    from glr_keras.evaluation.sources import Evaluated
    from glr_keras.inference.loading import records_of

    records, evaluated = records_of(args.run, args.data_dir), Evaluated(args.run)
    views = {
        name: evaluated.stored_views(records, name) for name in ("train", "validation", "test")
    }
    config = read_json(args.run / "config.json")
    print_table(measure_folds(views, len(records.landmarks), config, args.seed))


def measure_folds(views: dict, num_landmarks: int, config, seed: int = 0) -> dict:
    """Returns score -> a pair of arrays per fold: of known test photos, and of those left out."""
    order = np.random.default_rng(seed).permutation(num_landmarks)
    pairs: dict[str, list] = {}
    for fold, left_out in enumerate(np.array_split(order, FOLDS)):
        known = np.setdiff1d(order, left_out)
        head, rejectors, accuracy = fit_without(views, known, config)
        inside, outside = (
            _scores(rejectors, *_evidence(head, views, (split, *more), landmarks))
            for landmarks, (split, *more) in (
                (known, ("test",)),
                (left_out, ("test", "validation")),
            )
        )
        for name in rejectors:
            pairs.setdefault(name, []).append((inside[name], outside[name]))
        print(f"fold {fold + 1}: without {len(left_out)} landmarks, accuracy {accuracy:.3f}")
    return pairs


def fit_without(views, known, config):
    """Trains a head on `known` landmarks alone; returns it, rejectors by score, and accuracy."""
    from glr_keras.calibration.rejector import fit_rejector
    from glr_keras.calibration.scores import SCORES
    from glr_keras.calibration.train_features import TrainFeatures
    from glr_keras.models.heads import build_head
    from glr_keras.training.batches import StoredFeatures

    kept = {split: keep_landmarks(one, known) for split, one in views.items()}
    head = build_head(config, len(known), views["train"].shape)
    source = StoredFeatures(kept, head.branches, len(known), config)
    train_head(head, source, config)
    train = TrainFeatures(len(known), len(kept["train"]))
    for features, labels in source.in_order("train"):
        train.update(_average(features), labels)
    evidence, labels = _evidence(head, kept, ("validation",))
    rejectors = {
        name: fit_rejector(evidence, labels, train, name)
        for name, score in SCORES.items()
        if set(score.branches) <= set(head.branches)
    }
    test, labels = _evidence(head, kept, ("test",))
    return head, rejectors, float((test.log_probabilities.argmax(1) == labels).mean())


def train_head(head, source, config) -> None:
    """Trains to the last epoch, without checkpoints."""
    from glr_keras.models.objective import compile_model
    from glr_keras.runs.run_dir import RunDir
    from glr_keras.training.logistic import fit_logistic

    if head.solver == "l-bfgs":
        with tempfile.TemporaryDirectory() as folder:
            fit_logistic(head, source, config, RunDir(Path(folder)))
        return
    compile_model(head, config, source.steps_per_epoch)
    head.fit(
        source.train_batches(0),
        shuffle=False,
        epochs=config.epochs,
        steps_per_epoch=source.steps_per_epoch,
        verbose=2,
    )


def keep_landmarks(views, landmarks):
    """Returns the features of the photos of some landmarks, which are labelled 0, 1, ..."""
    numbers = np.flatnonzero(np.isin(views.labels, landmarks))
    return dataclasses.replace(
        views,
        files={view: PhotosOf(file, numbers) for view, file in views.files.items()},
        labels=np.searchsorted(landmarks, views.labels[numbers]),
        photo_ids=[views.photo_ids[number] for number in numbers],
    )


def _evidence(head, views, splits, landmarks=None):
    """Returns what a head says of all photos of some splits (of some landmarks), and labels."""
    from glr_keras.calibration.evidence import Evidence, EvidenceCollector
    from glr_keras.models.answer import answer_log_probabilities

    collector = EvidenceCollector()
    for split in splits:
        one = views[split] if landmarks is None else keep_landmarks(views[split], landmarks)
        (file,) = one.files.values()
        for rows in np.array_split(np.arange(len(one)), -(-len(one) // 256)):
            features = file.rows(rows)
            logits = head.predict_on_batch(features)
            answer = np.asarray(answer_log_probabilities(logits, head.answer))
            collector.update(Evidence(answer, logits, _average(features)), one.labels[rows])
    return collector.evidence, collector.labels


def _average(features):
    from glr_keras.calibration.evidence import average

    return average(features)


def _scores(rejectors, evidence, labels):
    return {name: np.asarray(one.scores(evidence)) for name, one in rejectors.items()}


def print_table(pairs: dict) -> None:
    """Prints the mean over folds of each score, best first."""
    from glr_keras.evaluation.rejection import auroc, average_precision, false_positives
    from glr_keras.evaluation.writing import aligned

    measures = (auroc, average_precision, false_positives)
    rng = np.random.default_rng(0)
    rows = []
    for name, folds in pairs.items():
        means = [np.mean([measure(*pair) for pair in folds]) for measure in measures]
        drawn = np.array([[_draw(measure, folds, rng) for measure in measures] for _ in range(200)])
        ends = np.percentile(drawn, [2.5, 97.5], axis=0).T
        texts = [
            f"{mean:.3f} ({low:.3f} to {high:.3f})"
            for mean, (low, high) in zip(means, ends, strict=True)
        ]
        rows.append((means[0], [name, *texts]))
    header = ["", "AUROC (95 % interval)", "AUPR", "FP at 95 %"]
    print(aligned([header, *(row for _, row in sorted(rows, reverse=True))]))


def _draw(measure, folds, rng):
    """Measures photos drawn anew from those of each fold: one draw of the bootstrap."""
    drawn = [[rng.choice(scores, len(scores)) for scores in pair] for pair in folds]
    return np.mean([measure(*pair) for pair in drawn])


if __name__ == "__main__":
    main()
