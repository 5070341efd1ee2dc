"""Trains the rejection of a run again, with photos of other places or without."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from glr_keras.calibration.evidence import EvidenceCollector
from glr_keras.calibration.rejector import Rejector, fit_rejector
from glr_keras.data.records import Records
from glr_keras.evaluation.other_photos import (
    as_array,
    fingerprint,
    other_photos,
    photo_digests,
    source_digests,
)
from glr_keras.evaluation.sources import Evaluated
from glr_keras.runs.run_dir import RunDir
from glr_keras.training.calibrating import measure_on_test, sum_features
from tfrecords.common.console import UserError, command_line

IN_RECORDS, COPY = "in the records of the run", "a copy of another one"


def train_rejection(
    evaluated: Evaluated, records: Records, folder: Path | None, follow_links: bool = False
) -> None:
    """Fits the rejector of a run again, and writes it where everything reads it.

    Features of train and validation photos are the stored ones; the head stays as it is. Until the
    new rejector is written, whole, the one before is in its place.

    Args:
        evaluated: A run; it has the new rejector afterwards.
        records: Its own ones.
        folder: Of photos of other places; None for a rejector without any, as `fit` makes it.
        follow_links: Whether links that lead out of the folder are followed.

    Raises:
        UserError: the records are others, features are not stored, there are no validation photos,
            or no photo of the folder can be used.
    """
    _check(evaluated, records)
    run = RunDir(evaluated.path)
    with run.locked():
        digests, about = as_array([]), {}
        train = _train_features(evaluated, records)
        if folder is not None:
            digests, left_out = _learn(evaluated, records, folder, follow_links, train)
            about = {
                "folder": str(folder),
                "photos": len(digests),
                "fingerprint": fingerprint(digests),
                "left_out": dict(left_out),
            }
        validation = _evidence(evaluated, records, "validation")
        rejector = replace(
            fit_rejector(validation.evidence, validation.labels, train),
            other_train_photos=len(digests),
            other_digests=digests,
        )
        rejector.save(run.path)
        run.write_json("metrics.json", _metrics(run, rejector, evaluated, records, about))
    evaluated.rejector = rejector
    _report(evaluated.path, rejector, about)


def _check(evaluated, records):
    run = evaluated.path
    if RunDir(run).read_environment().get("records") != records.fingerprint:
        raise UserError(
            f"The records in {records.data_dir} are not those that {run} was trained on. Name "
            "these: --data-dir DATA"
        )
    if not records.num_photos("validation"):
        raise UserError(
            f"The records of {run} have no validation photos, which the threshold comes from. "
            "Build records with some, and train on them."
        )
    for split in ("train", "validation"):
        if evaluated.stored_views(records, split) is None:
            fit = command_line("glr_keras.fit", "--data-dir", records.data_dir, "--run-dir", "RUN")
            raise UserError(
                f"{run} has no stored features of its {split} photos, which the photos of other "
                "places are compared with: it was trained with --live or --finetune-from, or they "
                "were deleted. Its rejection stays as it is, and --other DIR measures it. A run "
                f"with stored features can be trained with other places: {fit}"
            )


def _train_features(evaluated, records):
    """Sums up all stored views of the train photos, as `fit` does."""
    views = evaluated.stored_views(records, "train")
    return sum_features(views.in_order(), len(evaluated.landmarks), len(views))


def _learn(evaluated, records, folder, follow_links, train):
    """Adds the photos that can be used; returns their hashes, and how many can't, by reason."""
    known, used = source_digests(records.data_dir), {}
    left_out: Counter[str] = Counter()
    photos = other_photos(folder, follow_links)
    wanted = []
    for photo, digest in zip(photos, photo_digests(photos), strict=True):
        if digest is not None and (digest in known or digest in used.values()):
            left_out[IN_RECORDS if digest in known else COPY] += 1
            continue
        wanted.append(photo)
        used[photo.name] = digest
    before, read = len(evaluated.failed), []
    with tqdm(total=len(wanted), desc="Other places", unit=" photos") as bar:
        for batch in evaluated.photo_batches(wanted, bar):
            train.update_others(batch.evidence.embedding)
            read += [used[name] for name in batch.photos]
    if failed := len(evaluated.failed) - before:
        left_out["unreadable"] = failed
    if not read:
        raise UserError(
            f"--other-train {folder}: none of {len(photos):,} photos can be used "
            f"({_counts(left_out)}). Expected photos that show none of the landmarks. The "
            "rejection stays as it is."
        )
    return as_array(read), left_out


def _evidence(evaluated, records, split):
    collector = EvidenceCollector()
    for batch in evaluated.split_batches(records, split):
        collector.update(batch.evidence, batch.labels)
    return collector


def _metrics(run, rejector: Rejector, evaluated, records, about):
    """Returns `metrics.json` with what the new rejector does to test photos."""
    rejection = rejector.summary
    if records.num_photos("test"):
        test = _evidence(evaluated, records, "test")
        rejection |= measure_on_test(rejector, test.evidence, test.labels)
    if about:
        rejection["other_train"] = about
    return run.read_metrics() | {"rejection": rejection}


def _report(run, rejector, about):
    if not about:
        print(f"The rejection of {run} is that of its own photos again ({rejector.score}).\n")
        return
    if about["left_out"]:
        print(f"warning: left out: {_counts(about['left_out'])}.", file=sys.stderr)
    back = command_line("glr_keras.evaluate", run, "--no-other-train")
    print(
        f"{run} tells other places by {rejector.score} now, trained with {about['photos']:,} "
        f"photos of {about['folder']}. Without them again: {back}\n"
    )


def _counts(left_out):
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
