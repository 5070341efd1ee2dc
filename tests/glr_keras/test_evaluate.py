"""The command: what it measures, writes, prints and refuses."""

import csv
import json
import shutil

import numpy as np
import pytest
from commands import command_runner

from glr_keras import evaluate as command
from glr_keras import load
from glr_keras.calibration.scores import SCORES
from glr_keras.calibration.temperature import apply_temperature
from glr_keras.data.records import open_records, raw_records
from glr_keras.inference.loading import load_recognizer
from tfrecords.common.console import UserError


@pytest.fixture
def evaluate(monkeypatch, capfd, tmp_path):
    """Runs the command in this process; returns its exit code and what it printed."""
    return command_runner("evaluate", command.main, monkeypatch, capfd, tmp_path)


@pytest.fixture
def album(demo_photos, tmp_path):
    """Two photos each of two landmarks, with the names of their folders."""
    for number in (0, 1, 5, 6):
        folder = tmp_path / "album" / demo_photos[number].parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_photos[number], folder / f"{number}.jpg")
    return tmp_path / "album"


def read_result(folder):
    return json.loads((folder / "evaluation.json").read_text())


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_is_measured_on_its_stored_features_and_agrees_with_its_metrics(
    evaluate, small_run, tmp_path
):
    code, out, err = evaluate(small_run, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    result = read_result(tmp_path / "out")
    metrics = json.loads((small_run / "metrics.json").read_text())["test"]
    assert (result["computed_from"], result["photos"], result["unreadable"]) == (
        "stored features",
        10,
        0,
    )
    assert set(result["outputs"]) == {"answer", "attention", "perception"}
    for output, prefix in [("answer", ""), ("attention", "attention_")]:
        measured = result["outputs"][output]
        assert measured["accuracy"] == metrics[f"{prefix}accuracy"]
        assert measured["log_loss"] == pytest.approx(metrics[f"{prefix}loss"], rel=1e-6)
        gap = metrics[f"{prefix}global_average_precision"]
        assert measured["global_average_precision"] == pytest.approx(gap)
        assert measured["scaled_log_loss"] > 0
    assert result["baselines"]["majority class"]["accuracy"] == 0.1
    photos = metrics["photos"]
    found = result["baselines"]["nearest neighbour"]["accuracy"] * photos
    assert found == pytest.approx(round(found))  # whole photos
    of_run = json.loads((small_run / "metrics.json").read_text())
    assert result["slices"] == of_run["slices"]
    assert result["calibration"]["temperature"] == of_run["calibration"]["temperature"]
    error = of_run["calibration"]["after"]["calibration_error"]
    assert measured_error(result) == pytest.approx(error, abs=1e-4)
    rows = read_rows(tmp_path / "out" / "predictions.csv")
    correct = sum(row["label"] == row["landmark_1"] for row in rows)
    assert correct / len(rows) == metrics["accuracy"]
    assert len(result["landmarks"]) == 10
    assert "nearest neighbour" in out


def measured_error(result):
    error = result["calibration"]["after"]["calibration_error"]
    assert error == result["outputs"]["answer"]["scaled_calibration_error"]
    return error


def test_scores_are_those_of_predict_for_a_run_and_its_export(
    evaluate, small_run, small_export, album, tmp_path
):
    """At the temperature of the run, wherever a user meets them."""
    assert json.loads((small_run / "metrics.json").read_text())["rejection"]["temperature"] != 1
    raw = load_recognizer(small_run)
    for model in (small_run, small_export):
        loaded = load(model)
        evaluate(model, "--photos", album)
        for row in read_rows(tmp_path / "evaluation" / "predictions.csv"):
            expected = loaded.explain(row["photo"])
            assert row["landmark_1"] == expected.landmarks[0]
            assert float(row["score_1"]) == pytest.approx(expected.scores[0], rel=1e-4)
            own = np.log(np.asarray(raw.probabilities(expected.view[None])))[0]
            scaled = np.exp(apply_temperature(own, loaded.temperature))
            np.testing.assert_allclose(expected.probabilities, scaled, rtol=1e-3, atol=1e-6)


def test_photos_give_what_stored_features_give(
    evaluate, small_run, small_export, demo_data, tmp_path
):
    run = shutil.copytree(small_run, tmp_path / "run")
    evaluate(run, "--split", "validation")
    stored = read_result(run / "evaluation" / "validation")
    code, _, _ = evaluate(small_export, "--split", "validation", "--data-dir", demo_data)
    shown = read_result(tmp_path / "evaluation")
    assert (code, shown["computed_from"]) == (0, "photos")
    # Stored features may be bfloat16's, which can turn one of ten answers.
    expected = stored["outputs"]["answer"]["accuracy"]
    assert shown["outputs"]["answer"]["accuracy"] == pytest.approx(expected, abs=0.11)
    expected = stored["outputs"]["answer"]["log_loss"]
    assert shown["outputs"]["answer"]["log_loss"] == pytest.approx(expected, rel=0.02)
    assert set(shown["baselines"]) == {"majority class"}


def test_answers_averaged_over_views_are_measured_on_photos(
    evaluate, small_run, demo_data, tmp_path
):
    evaluate(small_run, "--out", tmp_path / "plain")
    code, _, _ = evaluate(small_run, "--tta", "flip", "--out", tmp_path / "flipped")
    plain, flipped = (read_result(tmp_path / name) for name in ("plain", "flipped"))
    assert code == 0
    assert (flipped["tta"], flipped["computed_from"]) == ("flip", "photos")
    assert (plain["tta"], plain["computed_from"]) == ("none", "stored features")
    photos = [record["image"] for record in raw_records(open_records(demo_data), "test")]
    expected = load(small_run, tta="flip").predict([photo.numpy() for photo in photos], top=1)
    rows = read_rows(tmp_path / "flipped" / "predictions.csv")
    scores = [float(row["score_1"]) for row in rows]
    assert scores == pytest.approx([one.scores[0] for one in expected], abs=1e-4)


def test_a_folder_of_photos_is_matched_by_name(evaluate, small_run, album, tmp_path):
    (album / "nowhere").mkdir()
    shutil.copy(next(album.glob("*/0.jpg")), album / "nowhere" / "x.jpg")
    shutil.copy(next(album.glob("*/1.jpg")), album / "loose.jpg")
    (album / "nowhere" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    code, out, err = evaluate(small_run, "--photos", album)
    assert code == 1
    assert "nowhere (2 photos" in err
    assert "1 photos could not be read." in err
    result = read_result(tmp_path / "evaluation")
    counted = {name: result[name] for name in ("without_landmark", "unlabelled", "unreadable")}
    assert counted == {"without_landmark": 1, "unlabelled": 1, "unreadable": 1}
    assert result["outputs"]["answer"]["photos"] == 4
    assert result["temperatures"]["answer"] > 0
    rows = {row["photo"]: row for row in read_rows(tmp_path / "evaluation" / "predictions.csv")}
    assert rows[str(album / "nowhere" / "cut.jpg")]["error"] == "damaged"
    assert rows[str(album / "nowhere" / "x.jpg")]["label"] == "(none of the landmarks)"
    assert rows[str(album / "loose.jpg")]["label"] == ""
    assert str(album / "nowhere" / "cut.jpg") in out


def test_other_photos_can_be_rejected(evaluate, small_run, album, tmp_path):
    code, out, _ = evaluate(small_run, "--other", album, "--accept", ".8", "--out", "out")
    assert code == 0
    result = read_result(tmp_path / "out")
    rejection = result["rejection"]
    assert (rejection["accept"], rejection["other_photos"]) == (0.8, 4)
    answer = result["outputs"]["answer"]
    assert rejection["global_average_precision"] <= answer["global_average_precision"]
    assert rejection["score"] == "combination"
    assert set(rejection["scores"]) == {
        name for name, score in SCORES.items() if not {"bank", "neighbours"} & set(score.arrays)
    }
    for numbers in rejection["scores"].values():
        low, high = numbers["auroc_interval"]
        assert 0 <= low <= numbers["auroc"] <= high <= 1
        assert 0 <= numbers["aupr"] <= 1
        assert 0 <= numbers["false_positives_at_95"] <= 1
    assert sum(rejection["histogram"]["known"]) == 10
    assert sum(rejection["histogram"]["other"]) == 4
    rows = read_rows(tmp_path / "out" / "predictions.csv")
    assert len(rows) == 10 + 4
    known = [row for row in rows if row["label"] != "(none of the landmarks)"]
    passed = sum(row["is_landmark"] == "1" for row in known) / len(known)
    assert passed == rejection["known_accepted"]
    assert [float(row["p_value"]) > 0.2 for row in rows] == [
        row["is_landmark"] == "1" for row in rows
    ]
    assert "With 4 photos of other places" in out


def test_photos_without_folders_get_scores_only(evaluate, small_run, album, tmp_path):
    for photo in album.glob("*/*.jpg"):
        photo.rename(album / photo.name)
    for folder in album.glob("*/"):
        folder.rmdir()
    code, out, _ = evaluate(small_run, "--photos", album)
    assert code == 0
    assert "scores only" in out
    assert "outputs" not in read_result(tmp_path / "evaluation")
    assert len(read_rows(tmp_path / "evaluation" / "predictions.csv")) == 4
    with pytest.raises(UserError, match="--fail-under needs photos with labels"):
        evaluate(small_run, "--photos", album, "--fail-under", "accuracy=.5")


def test_folders_of_other_landmarks_are_refused(evaluate, small_run, album):
    for folder in sorted(album.iterdir()):
        folder.rename(album / f"my-{folder.name}")
    with pytest.raises(UserError, match=r"None of the 2 folders in .* has the name of a landmark"):
        evaluate(small_run, "--photos", album)


def test_a_number_below_the_threshold_gives_exit_code_1(evaluate, small_run, tmp_path):
    flags = (small_run, "--out", tmp_path / "out", "--fail-under")
    assert evaluate(*flags, "accuracy=0", "top5_accuracy=0")[0] == 0
    code, _, err = evaluate(*flags, "accuracy=1", "log_loss=1")
    assert code == 2
    assert "log_loss" in err
    code, _, err = evaluate(*flags, "global_average_precision=1")
    assert code == 1
    assert "is below 1 (--fail-under)" in err


def test_a_run_compared_with_its_copy_changes_nothing(evaluate, small_run, tmp_path):
    copy = shutil.copytree(small_run, tmp_path / "copy")
    (tmp_path / "evaluation").mkdir()
    for name in ("evaluation.json", "predictions.csv"):  # of an earlier one
        (tmp_path / "evaluation" / name).write_text("{}")
    code, out, _ = evaluate(small_run, copy)
    assert code == 0
    result = read_result(tmp_path / "evaluation")
    test = result["comparison"]
    assert (test["only_first"], test["only_second"], test["p_value"]) == (0, 0, 1.0)
    assert test["both"] + test["neither"] == 10
    assert [one["model"] for one in result["models"]] == [str(small_run), str(copy)]
    assert read_rows(tmp_path / "evaluation" / "changed.csv") == []
    assert "p = 1" in out
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == [
        "changed.csv",
        "evaluation.json",
        "predictions-1.csv",
        "predictions-2.csv",
    ]


def test_a_run_without_stored_features_is_measured_on_photos(
    evaluate, small_run, records, tmp_path
):
    code, _, _ = evaluate(small_run, "--data-dir", records.data_dir, "--out", "out")
    result = read_result(tmp_path / "out")
    assert (code, result["computed_from"]) == (0, "photos")
    assert set(result["outputs"]) == {"answer", "attention", "perception"}
    metrics = json.loads((small_run / "metrics.json").read_text())["test"]
    loss = result["outputs"]["answer"]["log_loss"]
    assert loss == pytest.approx(metrics["loss"], rel=0.02)


def test_records_that_are_gone_are_named_with_what_to_type(evaluate, small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"data_dir": str(tmp_path / "gone")}))
    with pytest.raises(UserError, match=r"(?s)No landmark records in .*gone.*--data-dir DATA"):
        evaluate(run)


def test_a_folder_with_other_files_is_not_written_to(evaluate, small_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="a new or empty folder, or one with evaluation"):
        evaluate(small_run, "--out", tmp_path / "mine")


@pytest.mark.parametrize(
    "flags",
    [
        ("--fail-under", "accuracy=1"),
        ("--tta", "flip"),
        ("--accept", ".9"),
        ("--other", "."),
        ("--no-other-train",),
    ],
)
def test_suspects_refuse_flags_of_measuring(evaluate, small_run, demo_photos, monkeypatch, flags):
    flags = [demo_photos[0].parent if flag == "." else flag for flag in flags]
    with pytest.raises(UserError, match=f"measures nothing: leave out {flags[0]}"):
        evaluate(small_run, "--suspects", *flags)


def test_a_photo_that_can_not_be_read_has_one_line(evaluate, small_run, album, tmp_path):
    folder = next(album.iterdir())
    (folder / "new\nline.jpg").write_bytes(b"no photo")
    code, out, _ = evaluate(small_run, "--photos", album, "--out", tmp_path / "out")
    assert code == 1
    assert "new\\nline.jpg" in out


def test_a_run_that_is_not_complete_is_refused_with_how_to_finish_it(evaluate, small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "metrics.json").unlink()
    with pytest.raises(
        UserError, match=r"is not complete.*Finish it with: python -m glr_keras.fit"
    ):
        evaluate(run)
