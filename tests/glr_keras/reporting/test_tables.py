"""Numbers of a report: intervals, landmarks, confusions, and the photos that are chosen."""

import math

import pytest

from glr_keras.config import FitConfig
from glr_keras.reporting.contents import RunContents, command_of
from glr_keras.reporting.plots import class_histogram, nice_ticks, training_plots
from glr_keras.reporting.tables import (
    Fraction,
    confused_pairs,
    confusion_rows,
    headline_rows,
    landmark_rows,
    least_sure,
    majority_class,
    photos_of_cells,
    worst_mistakes,
)
from glr_keras.runs.predictions import PhotoResult

RESULTS = [
    PhotoResult("1", "arch", "arch", 0.9, 0.1),
    PhotoResult("2", "arch", "dome", 0.5, 2.0),
    PhotoResult("3", "dome", "dome", 0.4, 0.9),
    PhotoResult("4", "dome", "arch", 0.8, 3.0),
    PhotoResult("5", "arch", "dome", 0.6, 1.0),
]


def contents(results=RESULTS, landmarks=("arch", "dome", "gate"), **changed):
    settings = {
        "name": "run",
        "config": FitConfig(),
        "metrics": {"epochs": 2, "best_epoch": 1, "test": {"photos": 5}},
        "environment": {},
        "history": {},
        "counts": {},
    }
    return RunContents(landmarks=landmarks, results=results, **(settings | changed))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 0, 0, 1), (0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1)],
)
def test_a_fraction_has_wilson_s_interval(successes, trials, low, high):
    assert Fraction(successes, trials).interval == pytest.approx((low, high), abs=5e-5)


def test_a_fraction_of_no_photos_is_unknown():
    assert math.isnan(Fraction(0, 0).value)


def of_split(**values):
    measured = {"accuracy": 0.5, "top5_accuracy": 1.0, "loss": 1.5}
    branches = {f"{b}_{m}": v for b in values["branches"] for m, v in measured.items()}
    return {"photos": 4, **measured, **branches}


@pytest.mark.parametrize(
    ("branches", "outputs"),
    [
        (("perception",), ["answer"]),
        (("attention", "perception"), ["answer", "perception branch", "attention branch"]),
    ],
)
def test_a_branch_has_a_row_beside_another_one_only(branches, outputs):
    split = of_split(branches=branches)
    rows = headline_rows({"test": split, "validation": split})
    assert [row["output"] for row in rows] == outputs * 2
    assert rows[0]["accuracy"] == Fraction(2, 4)


def test_the_answer_of_versions_before_was_the_perception_branch():
    split = of_split(branches=("attention", "perception"))
    split = {name: value for name, value in split.items() if "_" in name or name == "photos"}
    del split["top5_accuracy"]
    rows = headline_rows({"test": split, "validation": split})
    assert rows[0]["output"] == "perception branch"


def test_landmarks_come_with_most_wrong_photos_first():
    rows, left_out = landmark_rows(contents())
    assert left_out == 0
    assert [row["landmark"] for row in rows] == ["arch", "dome", "gate"]
    arch, _, gate = rows
    assert (arch["recall"], arch["precision"]) == (Fraction(1, 3), Fraction(1, 2))
    assert arch["confused_with"] == ("dome", 2)
    assert (gate["recall"], gate["confused_with"]) == (Fraction(0, 0), None)


def test_of_many_landmarks_the_table_has_some():
    names = [f"landmark {n}" for n in range(700)]
    rows, left_out = landmark_rows(contents([], names, metrics={"test": {"per_landmark": {}}}))
    assert (len(rows), left_out) == (500, 200)


def test_without_answers_the_run_s_own_numbers_are_shown():
    test = {
        "per_landmark": {"dome": {"accuracy": 0.75, "photos": 4}},
        "most_confused": [{"landmark": "dome", "predicted": "gate", "photos": 1}],
    }
    known = contents([], metrics={"test": test})
    rows, _ = landmark_rows(known)
    assert (rows[0]["landmark"], rows[0]["recall"]) == ("dome", Fraction(3, 4))
    assert confused_pairs(known) == [("dome", "gate", 1)]
    assert confusion_rows(known) is None


def test_the_matrix_leaves_out_its_empty_cells():
    arch, dome, gate = confusion_rows(contents())
    assert [(cell["column"], cell["photos"]) for cell in arch["cells"]] == [(0, 1), (1, 2)]
    assert [cell["shade"] for cell in arch["cells"]] == ["correct-2", "wrong-3"]
    assert [cell["gap"] for cell in dome["cells"]] == [0, 0]
    assert (arch["gap"], gate["cells"], gate["gap"]) == (1, [], 3)
    assert confusion_rows(contents(landmarks=[*"abc", "arch", "dome"]))[3]["cells"][0]["gap"] == 3


def test_too_many_landmarks_have_no_matrix():
    names = ["arch", "dome", *map(str, range(299))]
    assert confusion_rows(contents(landmarks=names)) is None


def test_pairs_are_ordered_by_photos():
    assert confused_pairs(contents()) == [("arch", "dome", 2), ("dome", "arch", 1)]


def test_the_photos_that_are_chosen():
    assert worst_mistakes(RESULTS, 2) == [3, 1]
    assert least_sure(RESULTS, 2, leave_out=[1]) == [2, 4]
    # Each cell's first photo before any second one; wrong ones before correct ones.
    assert photos_of_cells(RESULTS, 9) == [1, 3, 4, 0, 2]
    assert photos_of_cells(RESULTS, 2) == [1, 3]


def test_majority_class_is_the_one_with_most_train_photos():
    counts = {
        "arch": {"train": 3, "validation": 1, "test": 3},
        "dome": {"train": 9, "validation": 1, "test": 2},
    }
    assert majority_class(contents(counts=counts)) == Fraction(2, 5)
    assert majority_class(contents()) is None


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (2.8, [0, 1, 2, 3]), (0.0, [0, 2e-4, 4e-4])],
)
def test_ticks_are_round_numbers(highest, ticks):
    found = nice_ticks(highest)
    assert found[: len(ticks)] == ticks
    assert found[-1] >= highest
    assert len(found) <= 6


def test_curves_rise_with_their_values_and_leave_out_what_diverged():
    history = {
        "epoch": [1.0, 2.0],
        "accuracy": [0.2, 0.4],
        "val_accuracy": [0.5, 1.0],
        "cross_entropy": [2.0, math.inf],
        "val_cross_entropy": [2.0, 1.0],
    }
    loss, accuracy = training_plots(contents(history=history))
    assert [line.name for line in loss.lines] == ["answer, validation"]
    train, validation = accuracy.lines
    assert (train.is_dashed, validation.is_dashed) == (True, False)
    (x0, y0), (x1, y1) = validation.points
    assert x0 < x1
    assert y1 < y0  # SVG counts from the top
    assert (y1, y0) == (10.0, 112.0)


def test_the_histogram_is_by_split_or_of_test_photos():
    counts = {"arch": {"train": 3, "test": 1}, "dome": {"train": 6, "test": 2}}
    bars = class_histogram(contents(counts=counts))
    assert [(bar["name"], bar["total"]) for bar in bars] == [("dome", 8), ("arch", 4)]
    assert bars[0]["widths"] == {"train": 75.0, "test": 25.0}
    assert [bar["total"] for bar in class_histogram(contents())] == [3, 2, 0]


def test_many_landmarks_share_bars():
    counts = {str(n): {"train": 2, "test": n % 2} for n in range(1000)}
    bars = class_histogram(contents(counts=counts))
    assert len(bars) == 200
    assert bars[0]["name"] == "landmarks 1 to 5"
    assert bars[0]["photos"] == {"train": 2.0, "test": 1.0}


def test_the_command_names_what_differs_and_nothing_else():
    config = FitConfig(data_dir="my data", head_units=(8, 4), flip=not FitConfig.flip, epochs=7)
    flip = "--flip" if config.flip else "--no-flip"
    command = command_of(config)
    assert command.startswith("python -m glr_keras.fit --data-dir 'my data' ")
    assert {flip, "--epochs 7", "--head-units 8 4"} == {
        part for part in (flip, "--epochs 7", "--head-units 8 4") if part in command
    }
    assert "--backbone" not in command
