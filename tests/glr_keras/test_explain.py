"""The command: pictures, numbers, comparisons, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from commands import command_runner

import glr_keras
from glr_keras import explain as command
from glr_keras.explaining.checks import randomization_stages
from glr_keras.report import report
from tfrecords.common.console import UserError


@pytest.fixture
def explain(monkeypatch, capfd, tmp_path):
    """Runs the command in this process; returns its exit code and what it printed."""
    return command_runner("explain", command.main, monkeypatch, capfd, tmp_path)


@pytest.fixture
def copied_run(small_run, tmp_path):
    """A copy, since measuring adds to a run."""
    return shutil.copytree(small_run, tmp_path / "copied")


def test_photos_get_a_picture_a_sheet_and_their_maps(explain, small_run, demo_photos, tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(demo_photos[0], album / "a.jpg")
    (album / "b.jpg").write_bytes(demo_photos[1].read_bytes()[:2000])
    (album / "c.txt.md").write_text("no photo")
    shutil.copy(demo_photos[2], album / "d.jpg")
    code, out, err = explain(small_run, album, "--beside", "grad-cam")
    folder = tmp_path / "explanations"
    assert code == 1
    assert err.endswith("2 photos could not be read.\n")
    assert f"{album / 'b.jpg'}" in out
    assert "- damaged: the photo starts well" in out
    assert sorted(path.name for path in folder.iterdir()) == [
        "000001-a.png",
        "000004-d.png",
        "contact_sheet.png",
        "maps.npz",
    ]
    maps = np.load(folder / "maps.npz")
    assert maps["photos"].tolist() == [str(album / "a.jpg"), str(album / "d.jpg")]
    expected = glr_keras.load(small_run).explain(album / "a.jpg")
    np.testing.assert_allclose(maps["attention"][0], expected.attention_map, atol=1e-5)
    assert maps["grad-cam"].shape == (2, 8, 8)
    assert maps["landmarks"][0].tolist() == expected.landmarks[:3]
    np.testing.assert_allclose(maps["scores"][0], expected.scores[:3], atol=1e-5)
    np.testing.assert_array_equal(maps["square"][0], [0, 0, 1, 1])


def test_a_second_call_has_a_folder_of_its_own(explain, small_run, demo_photos, tmp_path):
    for photo in demo_photos[:3]:
        code, out, _ = explain(small_run, photo)
        assert code == 0
    assert "explanations-3" in out
    folders = sorted(path.parent.name for path in tmp_path.glob("*/000001-*.png"))
    assert folders == ["explanations", "explanations-2", "explanations-3"]


def test_several_models_explain_the_photos_of_a_split(
    explain, small_run, copied_run, small_export, tmp_path
):
    code, out, _ = explain(small_run, copied_run, small_export, "--count", 2, "--out", "both")
    assert code == 0
    assert out.count("both/00000") == 2
    maps = np.load(tmp_path / "both" / "maps.npz")
    names = ["run", "copied", "export"]
    assert set(maps.files) == {"photos", "square"} | {
        f"{name}/{part}" for name in names for part in ("attention", "landmarks", "scores")
    }
    np.testing.assert_array_equal(maps["run/attention"], maps["copied/attention"])


def test_the_map_of_a_landmark(explain, small_run, demo_photos, tmp_path):
    model = glr_keras.load(small_run)
    name = model.landmarks[3]
    explain(small_run, demo_photos[0], "--landmark", name, "--beside", "attention", "--stretched")
    maps = np.load(tmp_path / "explanations" / "maps.npz")
    expected = model.explain(demo_photos[0], landmark=name).attention_map
    np.testing.assert_allclose(maps["class"][0], expected, atol=1e-5)
    assert "attention" in maps


def test_faithfulness_goes_into_the_run(explain, copied_run):
    before = json.loads((copied_run / "metrics.json").read_text())
    code, out, _ = explain(copied_run, "--measure", "--seconds", 60, "--count", 2)
    metrics = json.loads((copied_run / "metrics.json").read_text())
    found = metrics.pop("faithfulness")
    assert code == 0
    assert metrics == before
    assert (copied_run / "figures" / "faithfulness.png").stat().st_size > 10_000
    assert found["parameters"]["photos"] == 2
    assert found["parameters"]["split"] == "test"
    assert list(found["maps"]) == [
        "attention",
        "class",
        "grad-cam",
        "blurred grad-cam",
        "centre",
        "random",
    ]
    assert found["boxes"]["photos"] == 2
    assert "2 photos; * lower is better." in out
    assert "attention against random: " in out


def test_faithfulness_is_measured_on_stored_features_and_shown_in_the_report(explain, copied_run):
    code, out, _ = explain(copied_run, "--measure", "--features", "--count", 3)
    found = json.loads((copied_run / "metrics.json").read_text())["faithfulness"]
    assert code == 0
    assert found["parameters"]["photos"] == 3
    assert found["parameters"]["perturbed"] == "features"
    assert set(found["curves"]["class"]) == {"deletion_mean", "insertion_mean"}
    assert found["boxes"]["photos"] == 3
    assert f"python -m glr_keras.report {copied_run}" in out
    report([copied_run], copied_run / "report.html")
    page = (copied_run / "report.html").read_text(encoding="utf-8")
    area = found["maps"]["class"]["deletion_mean"]["mean"]
    assert f"class: {area:.3f}" in page  # the legend of the curves
    assert f"{area:.3f} <span" in page  # the table
    assert "attention against random: " in page


def test_features_that_are_not_stored_are_named(explain, copied_run, records):
    flags = ("--measure", "--features", "--data-dir", records.data_dir)
    with pytest.raises(
        UserError, match=r"no stored features of the split test.*Leave out --features\.$"
    ):
        explain(copied_run, *flags)


def test_faithfulness_of_other_photos_goes_where_it_is_asked_to(
    explain, copied_run, demo_photos, tmp_path
):
    explain(copied_run, demo_photos[0], "--measure", "--seconds", 60, "--out", "numbers")
    found = json.loads((tmp_path / "numbers" / "faithfulness.json").read_text())
    assert found["parameters"]["split"] == "named photos"
    assert "boxes" not in found
    assert "faithfulness" not in json.loads((copied_run / "metrics.json").read_text())


def test_too_little_time_is_reported(explain, copied_run, monkeypatch):
    def take_longer(*_, seconds):
        raise ValueError(f"One photo takes about 3 s, and there are {seconds:.0f}.")

    monkeypatch.setattr("glr_keras.explaining.measuring.measure_on_photos", take_longer)
    with pytest.raises(UserError, match=r"One photo takes about .* For more time: --seconds 10"):
        explain(copied_run, "--measure", "--seconds", 1, "--count", 1)


def test_a_run_agrees_with_itself(explain, small_run, copied_run, tmp_path):
    code, out, _ = explain(small_run, copied_run, "--stability", "--count", 3, "--out", "same")
    found = json.loads((tmp_path / "same" / "stability.json").read_text())
    assert code == 0
    assert list(found) == ["attention", "class", "grad-cam"]
    assert found["attention"]["rank_correlation"] == pytest.approx(1)
    assert found["attention"]["top_overlap"] == 1
    assert "2 runs, 3 photos" in out


def test_stability_goes_into_the_first_run_and_its_report(explain, small_run, copied_run):
    explain(copied_run, small_run, "--stability", "--count", 3)
    found = json.loads((copied_run / "metrics.json").read_text())["stability"]
    assert (found["runs"], found["photos"]) == ([copied_run.name, small_run.name], 3)
    assert found["maps"]["class"]["rank_correlation"] == pytest.approx(1)
    report([copied_run], copied_run / "report.html")
    page = (copied_run / "report.html").read_text(encoding="utf-8")
    assert "agree on 3 photos" in page


def test_maps_change_with_randomised_layers_and_weights_come_back(explain, small_run, tmp_path):
    code, out, _ = explain(small_run, "--sanity", "--count", 2, "--out", "sanity")
    found = json.loads((tmp_path / "sanity" / "sanity.json").read_text())
    assert code == 0
    assert found["attention"]["another_landmark"] < 0.99
    assert found["class"]["another_landmark"] < 0.99
    last_stage, correlation = found["attention"]["layers"][-1]
    assert last_stage.startswith("backbone block1")
    assert abs(correlation) < 0.9
    assert "so it can't pass the last test" not in out
    model = glr_keras.load(small_run).recognizer
    weights = sum(len(variables) for _, variables in randomization_stages(model))
    assert weights == len(model.weights)


def test_another_map_changes_the_answer(explain, small_run, demo_photos, tmp_path):
    code, out, _ = explain(small_run, demo_photos[0], "--keep-box", "0.2,0.3,0.8,0.7")
    (picture,) = (tmp_path / "explanations").iterdir()
    assert code == 0
    assert out.count("%") == 2
    assert " -> " in out
    assert picture.name.startswith("000001-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "PHOTO", "--landmark", "no_such"], "does not know the landmark 'no_such'"),
        (["RUN", "nowhere.jpg"], "No file or folder nowhere.jpg"),
        (["EXPORT"], "is an export, which does not know the records of its run"),
        (["EXPORT", "PHOTO", "--beside", "grad-cam"], "Name the run that it was made of"),
        (["EXPORT", "--measure"], "--measure needs a run; .* is an export"),
        (["RUN", "PHOTO", "--split", "test"], "Name either photos or --split"),
        (["RUN", "--features"], "--features goes with --measure, of the photos of a split"),
        (["RUN", "--measure", "--landmark", "a"], "--landmark is for pictures"),
        (["RUN", "RUN", "--stability", "--beside", "class"], "--beside is for pictures"),
        (["RUN", "--sanity", "--stretched"], "--stretched is for pictures"),
        (["RUN", "PHOTO", "--keep-box", "0,0,1,1", "--landmark", "a"], "--landmark is for pict"),
        (["RUN", "--stability"], "--stability compares runs: name two or more"),
        (["RUN", "RUN", "--sanity"], "--sanity takes one run, got 2"),
        (["RUN", "--keep-box", "0,0,1,1"], "Another map needs a photo"),
        (["RUN", "PHOTO", "--mask", "nowhere.png"], "No file nowhere.png"),
        (["UNFINISHED", "PHOTO"], "is not complete: it has no metrics.json"),
        (["RUN", "PHOTO", "--out", "FULL"], "--out .*: expected a new or empty folder.*--out"),
    ],
)
def test_a_users_mistake_is_one_message(
    explain, small_run, copied_run, small_export, demo_photos, arguments, message
):
    (copied_run / "metrics.json").unlink()
    places = {"RUN": small_run, "EXPORT": small_export, "UNFINISHED": copied_run}
    places |= {"PHOTO": demo_photos[0], "FULL": copied_run}
    with pytest.raises(UserError, match=message):
        explain(*(places.get(one, one) for one in arguments))


@pytest.mark.parametrize("box", ["0,0,1", "0,0,2,1", "0.5,0,0.5,1", "a,b,c,d"])
def test_a_box_that_is_none_is_refused(explain, box):
    code, _, err = explain("RUN", "photo.jpg", "--keep-box", box)
    assert code == 2
    assert (
        f"expected four numbers in [0, 1], y0 < y1 and x0 < x1, as in 0.1,0.2,0.9,0.7; got {box}"
        in err
    )


@pytest.mark.parametrize(
    "flags", [["--opacity", "2"], ["--count", "0"], ["--split", "all"], ["--measure", "--sanity"]]
)
def test_flags_out_of_range_are_refused(explain, flags):
    assert explain("RUN", *flags)[0] == 2
