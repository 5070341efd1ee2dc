"""Measures models on labelled photos: python -m glr_keras.evaluate RUN_OR_EXPORT [RUN_OR_EXPORT]"""

import argparse
import sys
import warnings

from glr_keras.evaluation.options import (
    FILES,
    RESULT,
    SUSPECTS,
    changes_rejection,
    check_arguments,
    parse_arguments,
)
from glr_keras.inference.model_dir import data_dir_of, find_saved_model
from glr_keras.runs.run_dir import report_command
from tfrecords.common.console import UserError, run_command, start_tensorflow
from tfrecords.common.types import SPLITS, one_line

SHOWN = 10  # suspects that are printed
EXIT_FAILED = 1  # photos that could not be read, or a number below --fail-under


def main() -> None:
    args = parse_arguments()
    check_arguments(args)
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata: the picture is what counts
    start_tensorflow()
    if args.suspects:
        list_suspects(args)
    elif not run(args):
        sys.exit(EXIT_FAILED)


def run(args: argparse.Namespace) -> bool:
    """Measures and writes what the flags ask for; returns whether nothing failed."""
    from glr_keras.evaluation import writing

    evaluations = evaluate_all(args)
    results = [one.as_dict(args.accept) for one in evaluations]
    for name in FILES:  # of an earlier evaluation, which may have been of two models
        (args.out / name).unlink(missing_ok=True)
    for number, (evaluation, result) in enumerate(zip(evaluations, results, strict=True), 1):
        name = f"predictions-{number}.csv" if len(results) > 1 else "predictions.csv"
        writing.write_predictions(evaluation, args.accept, args.out / name)
        print(writing.report(result) if evaluation.has_labels else _only_scores(result))
        print()
    if len(results) == 1:
        writing.write_result(results[0], args.out)
    else:
        from glr_keras.evaluation.comparing import compare

        comparison = compare(*evaluations)
        writing.write_changed(comparison, evaluations, args.out / "changed.csv")
        writing.write_result({"models": results, "comparison": comparison.test}, args.out)
        print(writing.report_comparison(comparison, evaluations))
    print(f"Numbers: {args.out / RESULT}; a row per photo: {args.out}/*.csv")
    if args.out == args.models[0] / "evaluation" / "test":  # where the report looks for it
        print(f"In one page with all else: {report_command(args.models[0])}")
    return report_failures(args, evaluations, results)


def list_suspects(args: argparse.Namespace) -> None:
    """Writes the photos whose label may be wrong, and prints the first ones."""
    from glr_keras.evaluation.sources import Evaluated
    from glr_keras.evaluation.suspects import find_suspects
    from glr_keras.evaluation.writing import aligned
    from glr_keras.inference.loading import records_of
    from glr_keras.runs.suspects import write_suspects

    (path,) = args.models
    records, model = records_of(path, args.data_dir), Evaluated(path, args.tta)
    model.check_records(records)
    # Features that were fine-tuned know the labels that are in doubt.
    found = {split: model.stored_views(records, split, frozen=True) for split in SPLITS}
    views = {split: one for split, one in found.items() if one is not None}
    if missing := [split for split in SPLITS if split not in views]:
        raise UserError(
            f"{path} has no stored features of the split {missing[0]}, which --suspects reads: it "
            "was trained live, or they were deleted. Train another run without --live."
        )
    suspects = find_suspects(views, records.landmarks)
    write_suspects(suspects, args.out / SUSPECTS)
    lines = [["photo", "label", "likelier", "score"]]
    lines += [[one_line(s.photo), s.label, s.likelier, f"{s.score:.1f}"] for s in suspects[:SHOWN]]
    print(aligned(lines))
    photos = sum(len(one) for one in views.values())
    print(
        f"{len(suspects):,} of {photos:,} photos are taken for another "
        f"landmark, the most suspect first: {args.out / SUSPECTS}"
    )


def evaluate_all(args: argparse.Namespace) -> list:
    """Returns the `Evaluation` of each model, all on the same photos."""
    from glr_keras.evaluation.comparing import check_same_landmarks
    from glr_keras.evaluation.evaluating import evaluate_folder, evaluate_split
    from glr_keras.evaluation.other_train import train_rejection
    from glr_keras.evaluation.sources import Evaluated
    from glr_keras.inference.loading import records_of

    # For photos in a folder, records only give the temperature.
    are_needed = not args.photos or args.data_dir is not None or changes_rejection(args)
    records = records_of(args.models[0], args.data_dir) if are_needed else _own_records(args)
    models = [Evaluated(path, args.tta) for path in args.models]
    if len(models) == 2:
        check_same_landmarks(*models)
    if changes_rejection(args):
        train_rejection(models[0], records, args.other_train, args.follow_links)
    others = _others(args, models)
    if args.photos:
        return [
            evaluate_folder(model, args.photos, records, others, args.follow_links)
            for model in models
        ]
    return [evaluate_split(model, records, args.split, others) for model in models]


def _others(args, models):
    """Returns the photos of `--other` that no model's rejection was trained with."""
    from glr_keras.evaluation.other_photos import other_photos, unmet_photos

    if args.other is None:
        return []
    met = [model.rejector.other_digests for model in models if model.rejector is not None]
    return unmet_photos(other_photos(args.other, args.follow_links), met)


def _own_records(args):
    """Returns the records that a run has learned from, if they are still where they were."""
    from glr_keras.data.records import open_records

    if find_saved_model(args.models[0]) is not None:
        return None
    try:
        return open_records(data_dir_of(args.models[0]))
    except UserError:
        return None


def report_failures(args: argparse.Namespace, evaluations: list, results: list[dict]) -> bool:
    """Prints photos that were not read and numbers that are too low; returns whether none are."""
    from glr_keras.evaluation.sources import ANSWER
    from glr_keras.evaluation.writing import report_failed

    failures = []
    for evaluation, result in zip(evaluations, results, strict=True):
        if failed := evaluation.evaluated.failed:
            print(report_failed(failed))
            failures.append(f"{len(failed):,} photos could not be read.")
        for name, least in args.fail_under:
            if not evaluation.has_labels:
                raise UserError("--fail-under needs photos with labels, and there are none.")
            value = result["outputs"][ANSWER][name]
            if value < least:
                model = evaluation.evaluated.path
                failures.append(f"{model}: {name} {value:.4f} is below {least:g} (--fail-under).")
    print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)
    return not failures


def _only_scores(result):
    return (
        f"{result['model']}: {result['photos']:,} photos have no label, so there are scores only."
    )


if __name__ == "__main__":
    run_command(main)
