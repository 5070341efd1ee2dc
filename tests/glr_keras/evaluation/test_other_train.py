"""--other-train: what it learns from, leaves out, keeps in the run, and takes back."""

import csv
import json
import shutil

import numpy as np
import pytest
from commands import command_runner
from photo_files import encode, picture

from glr_keras import evaluate as command
from glr_keras import load
from glr_keras.calibration.rejector import FILE, load_rejector
from glr_keras.export import export
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError


@pytest.fixture
def evaluate(monkeypatch, capfd, tmp_path):
    return command_runner("evaluate", command.main, monkeypatch, capfd, tmp_path)


@pytest.fixture
def run(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.fixture
def others(tmp_path):
    """Six photos of no landmark."""
    return write_photos(tmp_path / "others", range(6))


def write_photos(folder, seeds):
    folder.mkdir()
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(encode(picture(48, 40, seed)))
    return folder


def read_metrics(run):
    return json.loads((run / "metrics.json").read_text())


def test_the_run_learns_other_places_and_uses_and_notes_it(evaluate, run, others, tmp_path):
    before, metrics = load_rejector(run), read_metrics(run)
    photo = others / "0.jpg"
    unlike = load(run).predict(photo).p_value
    code, out, err = evaluate(run, "--other-train", others, "--out", "out")
    assert (code, err.replace("\r", "\n").count("warning")) == (0, 0)
    assert "by trained combination now, trained with 6 photos" in out
    after, noted = load_rejector(run), read_metrics(run)
    assert (before.score, after.score) == ("combination", "trained combination")
    assert after.temperature == before.temperature
    assert after.other_train_photos == 6
    about = noted["rejection"].pop("other_train")
    assert (about["folder"], about["photos"], about["left_out"]) == (str(others), 6, {})
    assert len(about["fingerprint"]) == 64
    assert set(noted["rejection"]) == set(metrics["rejection"])
    assert {**noted, "rejection": None} == {**metrics, "rejection": None}
    judged = load(run).predict(photo)
    assert judged.p_value <= unlike
    assert not load(run, accept=0.5).predict(photo).is_landmark
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["rejection"]["score"] == "trained combination"


def test_photos_that_can_not_be_learned_from_are_left_out_aloud(
    evaluate, run, others, demo_photos, tmp_path
):
    shutil.copy(demo_photos[0], others / "known.jpg")
    shutil.copy(others / "1.jpg", others / "again.jpg")
    (others / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    code, out, err = evaluate(run, "--other-train", others, "--out", "out")
    assert code == 1
    assert "left out: 1 a copy of another one, 1 in the records of the run, 1 unreadable" in err, (
        err
    )
    assert f"{others / 'broken.jpg'} - damaged" in " ".join(out.split())
    about = read_metrics(run)["rejection"]["other_train"]
    assert about["photos"] == 6
    assert sum(about["left_out"].values()) == 3
    with open(tmp_path / "out" / "predictions.csv", newline="", encoding="utf-8") as file:
        failed = [row["photo"] for row in csv.DictReader(file) if row["error"]]
    assert failed == [str(others / "broken.jpg")]
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert "majority class" in result["baselines"]


def test_a_second_call_replaces_the_first_and_a_third_takes_it_back(
    evaluate, run, others, tmp_path
):
    before, metrics = load_rejector(run), read_metrics(run)["rejection"]
    evaluate(run, "--other-train", others, "--out", "out")
    first = (run / FILE).read_bytes()
    more = write_photos(tmp_path / "more", range(6, 10))
    evaluate(run, "--other-train", more, "--out", "out")
    assert load_rejector(run).other_train_photos == 4
    evaluate(run, "--other-train", others, "--out", "out")
    assert (run / FILE).read_bytes() == first
    code, out, _ = evaluate(run, "--no-other-train", "--out", "out")
    assert code == 0
    assert "is that of its own photos again (combination)" in out
    after = load_rejector(run)
    assert after.settings == before.settings
    assert set(after.arrays) == set(before.arrays)
    for name, values in before.arrays.items():
        np.testing.assert_allclose(after.arrays[name], values, rtol=1e-3, atol=1e-4)
    assert set(read_metrics(run)["rejection"]) == set(metrics)


def test_photos_that_were_learned_from_are_not_measured(evaluate, run, others, tmp_path):
    more = write_photos(tmp_path / "more", range(4, 9))  # two of them are known by then
    code, _, err = evaluate(run, "--other-train", others, "--other", more, "--out", "out")
    assert code == 0
    assert "2 of 5 photos of --other are files that the rejection was trained with" in err
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())["rejection"]
    assert result["other_photos"] == 3
    assert {"combination", "penalized neighbour", "trained combination"} <= set(result["scores"])
    with pytest.raises(UserError, match=r"6 of 6 photos of --other .*has not met: --other DIR"):
        evaluate(run, "--other", others, "--out", "out")


def test_a_kill_between_the_two_files_leaves_a_run_that_answers(evaluate, run, others, monkeypatch):
    whole = (run / "metrics.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate(run, "--other-train", others, "--out", "out")
    assert (run / "metrics.json").read_bytes() == whole
    assert load(run).predict(others / "0.jpg").p_value > 0
    evaluate(run, "--other-train", others, "--out", "out")
    assert read_metrics(run)["rejection"]["other_train"]["photos"] == 6


def test_an_export_has_what_the_run_has_learned(evaluate, run, others, demo_data, tmp_path):
    evaluate(run, "--other-train", others, "--out", "out")
    export(run, tmp_path / "export", demo_data, "float32", 256)
    photos = [others / "0.jpg", others / "1.jpg"]
    of_run, of_export = load(run).predict(photos), load(tmp_path / "export").predict(photos)
    for one, other in zip(of_run, of_export, strict=True):
        assert one.p_value == pytest.approx(other.p_value)
    assert load(tmp_path / "export").rejection["other_train_photos"] == 6


def test_folders_without_a_photo_to_learn_from_change_nothing(evaluate, run, demo_photos, tmp_path):
    before = (run / FILE).read_bytes()
    with pytest.raises(UserError, match=r"--other-train .*expected a folder, and there is none"):
        evaluate(run, "--other-train", tmp_path / "missing")
    (tmp_path / "album").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        evaluate(run, "--other-train", tmp_path / "album")
    shutil.copy(demo_photos[0], tmp_path / "album" / "a.jpg")
    (tmp_path / "album" / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(UserError, match=r"none of 2 photos can be used \(1 in the records of the"):
        evaluate(run, "--other-train", tmp_path / "album")
    assert (run / FILE).read_bytes() == before


def test_models_that_can_not_be_trained_again_are_refused(
    evaluate, run, small_export, others, records
):
    with pytest.raises(UserError, match=r"is an export.*evaluate RUN --other-train .*export RUN"):
        evaluate(small_export, "--other-train", others)
    with pytest.raises(UserError, match="takes one run, which it changes; got 2"):
        evaluate(run, run, "--other-train", others)
    with pytest.raises(UserError, match="--other-train does not go with --tta"):
        evaluate(run, "--other-train", others, "--tta", "flip")
    config = json.loads((run / "config.json").read_text())
    features = str(records.data_dir / "nowhere")
    (run / "config.json").write_text(json.dumps(config | {"features_dir": features}))
    with pytest.raises(UserError, match=r"no stored features of its train photos.*with --live"):
        evaluate(run, "--other-train", others)
