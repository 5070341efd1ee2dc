"""The command: rows in order on standard output, whatever the photos."""

import csv
import io
import json
import os
import subprocess
import sys
from functools import partial
from itertools import islice

import cv2
import pytest
from commands import command_runner
from PIL import Image

import glr_keras
from glr_keras import predict as command
from glr_keras.predicting.watching import new_files
from tfrecords.common.console import UserError


@pytest.fixture
def predict(monkeypatch, capfd):
    """Runs the command in this process; returns its exit code and what it printed."""
    return command_runner("predict", command.main, monkeypatch, capfd)


@pytest.fixture
def album(demo_photos, tmp_path):
    """A folder of two good photos, a broken one and a text, and what stands for each."""
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(demo_photos[0].read_bytes())
    (folder / "b, broken.jpg").write_bytes(demo_photos[1].read_bytes()[:2000])
    (folder / "c.md").write_text("# no photo")
    (folder / "d.webp").write_bytes(as_webp(demo_photos[2]))
    return folder


def as_webp(path):
    out = io.BytesIO()
    Image.open(path).save(out, "WEBP")
    return out.getvalue()


def test_other_places_are_called_so(predict, small_run, demo_photos):
    rows = predict(small_run, *demo_photos[:10], "--accept", ".1")[1].splitlines()
    model = glr_keras.load(small_run, accept=0.1)
    accepted = [one.is_landmark for one in model.predict(demo_photos[:10])]
    assert ["none of these places (p-value 0." not in row for row in rows] == accepted
    assert not all(accepted)


def test_csv_has_a_row_per_photo_in_order(predict, small_export, small_exported_model, album):
    code, out, err = predict(small_export, album, album / "a.jpg", "--format", "csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(out)))
    names = ["landmark_1", "score_1", "landmark_2", "score_2", "is_landmark", "p_value"]
    assert list(rows[0]) == ["photo", *names, "error"]
    assert [os.path.basename(row["photo"]) for row in rows] == [
        "a.jpg",
        "b, broken.jpg",
        "c.md",
        "d.webp",
        "a.jpg",
    ]
    assert [row["error"] for row in rows] == ["", "damaged", "not a photo", "", ""]
    expected = small_exported_model.predict(album / "a.jpg", top=2)
    assert [rows[0]["landmark_1"], rows[0]["landmark_2"]] == expected.landmarks
    assert float(rows[4]["score_1"]) == pytest.approx(expected.scores[0], abs=1e-5)
    assert rows[1]["landmark_1"] == rows[1]["score_1"] == ""
    assert code == 1
    assert "5 photos" in err
    assert err.endswith("2 of 5 photos could not be read.\n")


def test_scores_are_averaged_over_a_photo_and_its_mirror_image(predict, small_run, album):
    photo = album / "a.jpg"
    _, out, _ = predict(small_run, photo, "--tta", "flip", "--format", "csv", "--top", 1)
    score = float(next(csv.DictReader(io.StringIO(out)))["score_1"])
    averaged = glr_keras.load(small_run, tta="flip").predict(photo, top=1)
    assert score == pytest.approx(averaged.scores[0], abs=1e-5)
    plain = glr_keras.load(small_run).predict(photo, top=1)
    assert score != pytest.approx(plain.scores[0], abs=1e-4)


def test_jsonl_and_maps(predict, small_run, album, tmp_path):
    maps = tmp_path / "maps"
    code, out, _ = predict(small_run, album, "--format", "jsonl", "--top", 3, "--maps", maps)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("error") for row in rows] == [None, "damaged", "not a photo", None]
    assert rows[1]["detail"] == "the photo starts well and then ends early or is corrupt"
    scores = [landmark["score"] for landmark in rows[0]["landmarks"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert sorted(path.name for path in maps.iterdir()) == ["000001-a.png", "000004-d.png"]
    assert rows[3]["map"] == str(maps / "000004-d.png")
    assert Image.open(maps / "000001-a.png").size == (32, 32)
    with pytest.raises(UserError, match="expected a new or empty folder"):
        predict(small_run, album, "--maps", maps)
    assert code == 1


def test_a_table_is_the_default_and_good_photos_end_with_0(predict, small_run, album):
    code, out, _ = predict(small_run, album / "a.jpg", album / "d.webp", "--top", 99)
    first, second = out.splitlines()
    assert first.startswith(str(album / "a.jpg") + " ")
    assert second.count("%") == 10
    assert code == 0
    _, out, _ = predict(small_run, album / "c.md")
    assert "- not a photo: no decoder knows the file" in out


def test_paths_come_from_standard_input(predict, small_run, album, monkeypatch):
    paths = f"{album}/a.jpg\n{album}/gone.jpg\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(paths))))
    code, out, _ = predict(small_run, "-", "--format", "jsonl")
    assert [json.loads(line).get("error") for line in out.splitlines()] == [None, "missing"]
    assert code == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(UserError, match="Standard input named no photos"):
        predict(small_run, "-")


def test_new_photos_are_predicted_as_they_come_until_ctrl_c(
    predict, small_run, demo_photos, tmp_path, monkeypatch
):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "old.jpg").write_bytes(demo_photos[0].read_bytes())

    def come():
        (inbox / "new.jpg").write_bytes(demo_photos[1].read_bytes())

    def interrupt():
        raise KeyboardInterrupt

    steps = iter([come, lambda: None, interrupt])
    watching = partial(new_files, wait=lambda _: next(steps)())
    monkeypatch.setattr(command, "new_files", watching)
    code, out, err = predict(small_run, "--watch", inbox, "--sidecar", "json", "--top", 1)
    assert [line.split()[0] for line in out.splitlines()] == [str(inbox / "new.jpg")]
    assert "Waiting for new photos in" in err
    assert ": 1 photo in " in err
    assert sorted(path.name for path in inbox.iterdir()) == ["new.jpg", "new.jpg.json", "old.jpg"]
    assert code == 0


def test_a_foreign_sidecar_is_named_and_the_exit_code_is_1(predict, small_run, album):
    (album / "a.jpg.xmp").write_text("mine")
    code, out, err = predict(small_run, album / "a.jpg", album / "d.webp", "--sidecar", "xmp")
    assert len(out.splitlines()) == 2
    assert (album / "a.jpg.xmp").read_text() == "mine"
    assert (album / "d.webp.xmp").exists()
    assert "a.jpg.xmp is of another program" in err
    assert err.endswith("1 sidecar was not written.\n")
    assert code == 1


def test_a_video_has_a_row_per_frame_and_multi_crop_names_the_part(
    predict, small_run, demo_photos, tmp_path
):
    pictures = [cv2.resize(cv2.imread(str(path)), (96, 64)) for path in demo_photos[:2]]
    video = tmp_path / "tour.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 1, (96, 64))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    code, out, err = predict(small_run, video, "--multi-crop", "--format", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["photo"] for row in rows] == [f"{video}#t=0", f"{video}#t=1"]
    assert all(len(row["box"]) == 4 for row in rows)
    assert f"Best frames of {video}:" in err
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["EXPORT", "nowhere.jpg"], "No file or folder nowhere.jpg. Expected photos, folders"),
        (["EXPORT", "EMPTY"], "holds no photos."),
        (["EXPORT", "LIST"], "lists 2 photos, of which 2 are not there: x.jpg, y.jpg. Paths are"),
        (["FOREIGN", "PHOTO"], "holds a SavedModel that this project did not write"),
        (["DATA", "PHOTO"], "is neither a run nor an export."),
        (["EXPORT", "PHOTO", "--top", "0"], "--top must be at least 1, got 0"),
        (["EXPORT"], "the following arguments are required: photos, or --watch DIR"),
        (
            ["EXPORT", "--watch", "nowhere"],
            "--watch nowhere: expected a folder, and",
        ),
        (["EXPORT", "PHOTO", "--every", "0"], "--every must be above 0, got 0"),
        (["EXPORT", "PHOTO", "--landmarks", "x"], "--landmarks is for sidecars; add --sidecar"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    run_python, small_export, demo_data, demo_photos, tmp_path, arguments, message
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("x.jpg\ny.jpg\n")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    places = {"EXPORT": small_export, "DATA": demo_data, "PHOTO": demo_photos[0]}
    places |= {"EMPTY": tmp_path / "empty", "LIST": tmp_path / "list.txt", "FOREIGN": tmp_path}
    result = run_python("-m", "glr_keras.predict", *(places.get(one, one) for one in arguments))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.slow
def test_head_closes_the_pipe_of_the_whole_command(small_export, demo_photos):
    command = [sys.executable, "-m", "glr_keras.predict", small_export, *demo_photos * 20]
    line = " ".join(f"'{part}'" for part in command)
    script = f"{line} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    first, code = done.stdout.splitlines()
    assert first.startswith(str(demo_photos[0]))
    assert code == "141"
    assert "Traceback" not in done.stderr


MEMORY = """
import resource, sys
from glr_keras import predict
try:
    predict.main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=open(sys.argv[0], "w"))
"""


@pytest.mark.slow
def test_many_photos_need_no_more_memory_than_few(small_export, demo_photos, tmp_path):
    def peak(photos):
        lines = "".join(f"{path}\n" for path in islice(demo_photos * 1000, photos))
        code = MEMORY.replace("sys.argv[0]", repr(str(tmp_path / "peak")))
        command = [sys.executable, "-c", code, small_export, "-", "--format", "csv"]
        subprocess.run(command, input=lines.encode(), stdout=subprocess.DEVNULL, check=True)
        return float((tmp_path / "peak").read_text())

    assert peak(20_000) < peak(200) + 50  # MB
