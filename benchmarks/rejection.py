"""How well scores tell other places from known landmarks: python benchmarks/rejection.py RUN

Leaves a fifth of the run's landmarks out, five times over; trains its head anew on the others, from
the features that the run has stored; and asks which test photos of the others, and which photos of
those left out, each score takes for known. What is left out are landmarks too: near ones, harder to
tell than any photo of people or dogs. Training takes as long as five times that of the run.

With --other-train, half of the landmarks left out train the rejection, as `evaluate --other-train`
does, and the photos of the other half are measured; then the halves change places.
"""

import argparse
import copy
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from show import print_context

FOLDS = 5
DRAWS = 200  # of the bootstrap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a complete run with stored features")
    parser.add_argument("--data-dir", type=Path, help="its records, if they were moved")
    parser.add_argument("--seed", type=int, default=0, help="of the landmarks left out")
    parser.add_argument(
        "--other-train",
        action="store_true",
        help="train the rejection with half of them, and measure the other half",
    )
    parser.add_argument(
        "--l2", type=float, help="the one penalty of a logistic head, in place of 21 to choose from"
    )
    args = parser.parse_args()
    print_context()

    from glr_keras.config import read_json
    from glr_keras.evaluation.sources import Evaluated
    from glr_keras.inference.loading import records_of
    from glr_keras.training import logistic

    if args.l2 is not None:
        logistic.L2 = np.array([args.l2])
    records, evaluated = records_of(args.run, args.data_dir), Evaluated(args.run)
    views = {
        name: evaluated.stored_views(records, name) for name in ("train", "validation", "test")
    }
    config = read_json(args.run / "config.json")
    print_table(measure_folds(views, len(records.landmarks), config, args.seed, args.other_train))


def measure_folds(
    views: dict, num_landmarks: int, config, seed: int = 0, other_train: bool = False
) -> dict:
    """Returns score -> a pair of arrays per fold: of known test photos, and of those left out.

    With `other_train`, there are two pairs per fold, a half of the landmarks left out each.
    """
    order = np.random.default_rng(seed).permutation(num_landmarks)
    pairs: dict[str, list] = {}
    for fold, left_out in enumerate(np.array_split(order, FOLDS)):
        known = np.setdiff1d(order, left_out)
        head, fitted, accuracy = fit_without(views, known, config)
        halves = np.array_split(left_out, 2)
        for learned, measured in [halves, halves[::-1]] if other_train else [(None, left_out)]:
            score = fit_scores(head, views, fitted, learned)
            inside = score(_evidence(head, views, ("test",), known)[0])
            outside = score(_evidence(head, views, ("test", "validation"), measured)[0])
            for name, scores in inside.items():
                pairs.setdefault(name, []).append((scores, outside[name]))
        print(f"fold {fold + 1}: without {len(left_out)} landmarks, accuracy {accuracy:.3f}")
    return pairs


def fit_without(views, known, config):
    """Trains a head on `known` landmarks alone.

    Returns:
        The head; what scores are fitted to: validation evidence with labels, and `TrainFeatures`;
        and its accuracy on test photos.
    """
    from glr_keras.calibration.evidence import average
    from glr_keras.calibration.train_features import TrainFeatures
    from glr_keras.models.heads import build_head
    from glr_keras.training.batches import StoredFeatures

    kept = {split: keep_landmarks(one, known) for split, one in views.items()}
    head = build_head(config, len(known), views["train"].shape)
    source = StoredFeatures(kept, head.branches, len(known), config)
    train_head(head, source, config)
    train = TrainFeatures(len(known), len(kept["train"]))
    for features, labels in source.in_order("train"):
        train.update(average(features), labels)
    test, labels = _evidence(head, kept, ("test",))
    accuracy = float((test.log_probabilities.argmax(1) == labels).mean())
    return head, (*_evidence(head, kept, ("validation",)), train), accuracy


def fit_scores(head, views, fitted, learned):
    """Fits scores, with the photos of the landmarks `learned` as other places unless it is None.

    Returns:
        Function from evidence to a dict of arrays, by score.
    """
    from glr_keras.calibration.rejector import fit_rejector
    from glr_keras.calibration.scores import SCORES, TRAINED

    evidence, labels, train = fitted
    if learned is not None:
        others, _ = _evidence(head, views, ("train", "validation", "test"), learned)
        train = copy.copy(train)  # without the other half
        train.update_others(others.embedding)
        rejector = fit_rejector(evidence, labels, train, TRAINED)
        rejectors = {
            name: rejector
            for name, score in SCORES.items()
            if score.is_computable(evidence, rejector.arrays)
        }
    else:
        rejectors = {
            name: fit_rejector(evidence, labels, train, name)
            for name, score in SCORES.items()
            if set(score.branches) <= set(head.branches) and not score.learns_others
        }
    return lambda of: {name: np.asarray(one.scores(of, name)) for name, one in rejectors.items()}


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
    from glr_keras.features.reuse import StoredRows

    numbers = np.flatnonzero(np.isin(views.labels, landmarks))
    files = {view: StoredRows(len(numbers)) for view in views.files}
    for view, file in views.files.items():
        files[view].add(file, np.arange(len(numbers)), numbers)
    return dataclasses.replace(
        views,
        files=files,
        labels=np.searchsorted(landmarks, views.labels[numbers]),
        photo_ids=[views.photo_ids[number] for number in numbers],
    )


def _evidence(head, views, splits, landmarks=None):
    """Returns what a head says of all photos of some splits (of some landmarks), and labels."""
    from glr_keras.calibration.evidence import Evidence, EvidenceCollector, average

    collector = EvidenceCollector()
    for split in splits:
        one = views[split] if landmarks is None else keep_landmarks(views[split], landmarks)
        file = next(iter(one.files.values()))  # of train photos, the first view
        for rows in np.array_split(np.arange(len(one)), -(-len(one) // 256)):
            features = file.rows(rows)
            logits = head.predict_on_batch(features)
            answer = np.asarray(head.answer_log_probabilities(logits))
            collector.update(Evidence(answer, logits, average(features)), one.labels[rows])
    return collector.evidence, collector.labels


def print_table(pairs: dict, baseline: str = "combination") -> None:
    """Prints the mean over folds of each score, best first, and how far from the baseline's it is.

    Intervals are of photos drawn anew, the same ones for all scores.
    """
    from glr_keras.evaluation.rejection import auroc, average_precision, false_positives
    from glr_keras.evaluation.writing import aligned

    measures = (auroc, average_precision, false_positives)
    draws = [draw(pairs[baseline], seed) for seed in range(DRAWS)]
    means = {name: _measure(measures, folds) for name, folds in pairs.items()}
    drawn = {
        name: np.array([_measure(measures, take(folds, rows)) for rows in draws])
        for name, folds in pairs.items()
    }
    lines = [
        ["", "AUROC (95 % interval)", "AUPR", "FP at 95 %", "AUROC difference", "FP difference"]
    ]
    for name in sorted(pairs, key=lambda name: -means[name][0]):
        gain, drawn_gain = means[name] - means[baseline], drawn[name] - drawn[baseline]
        cells = [_cell(*one) for one in zip(means[name], drawn[name].T, strict=True)]
        lines.append([name, *cells, *(_cell(gain[i], drawn_gain[:, i], "+.3f") for i in (0, 2))])
    print(aligned(lines))
    print(f"Differences are to {baseline}.")


def draw(folds, seed):
    """Draws photos of each fold anew: rows of both arrays, one draw of the bootstrap."""
    rng = np.random.default_rng(seed)
    return [[rng.integers(len(scores), size=len(scores)) for scores in pair] for pair in folds]


def take(folds, rows):
    return [
        [scores[of] for scores, of in zip(pair, drawn, strict=True)]
        for pair, drawn in zip(folds, rows, strict=True)
    ]


def _measure(measures, folds):
    return np.array([np.mean([measure(*pair) for pair in folds]) for measure in measures])


def _cell(value, drawn, digits=".3f"):
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{value:{digits}} ({low:{digits}} to {high:{digits}})"


if __name__ == "__main__":
    main()
