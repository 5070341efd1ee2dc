"""report.html: complete, self-contained, the same bytes; names are text; gone records are named."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glr_keras import evaluate
from glr_keras import report as entry
from glr_keras.config import read_json
from glr_keras.data.records import open_records
from glr_keras.inference.loading import load_recognizer
from glr_keras.report import check_arguments, parse_arguments, report
from glr_keras.reporting import run_report, thumbnails
from glr_keras.reporting.html import RunReport, render_report, select_photos
from glr_keras.reporting.run_report import recognize_test_photos
from glr_keras.reporting.thumbnails import PhotoImages, read_images
from glr_keras.runs.predictions import FILE, PhotoResult, read_predictions
from glr_keras.runs.run_dir import RunDir
from glr_keras.runs.slices import SLICES
from glr_keras.training import train as training
from tfrecords.common.console import UserError

HOSTILE = ("<script>alert(1)</script>", "../../x", "' onclick=alert(2) \"", "</title>{{ 7 * 7 }}")


class Page(HTMLParser):
    """Collects tags, and what they load, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.attributes = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.loaded += [
            value for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]


@pytest.fixture
def run_copy(small_run, tmp_path):
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def photos_in(text):
    return json.loads(re.search(r'id="run1-photos">(.*?)</script>', text).group(1))


def test_every_run_has_a_report_with_all_its_photos(small_run):
    text = (small_run / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    photos = photos_in(text)
    assert len(photos) == metrics["test"]["photos"] == 10
    assert all(photo["image"].startswith("data:image/jpeg;base64,") for photo in photos)
    assert f"{metrics['test']['accuracy']:.1%}" in text
    assert text.count('class="pair"') == 10  # as many photos with maps as there are
    assert "python -m glr_keras.fit --data-dir" in text
    for name in (small_run / "labels.txt").read_text(encoding="utf-8").splitlines():
        assert name in text


def test_a_report_shows_what_the_run_has_measured(small_run):
    text = (small_run / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    calibration, rejection = metrics["calibration"], metrics["rejection"]
    assert calibration["temperature"] == rejection["temperature"]
    for part in ("before", "after"):
        assert f"ECE {calibration[part]['calibration_error']:.3f}" in text
        assert sum(one["photos"] for one in calibration[part]["bins"]) == 10
    assert sum(rejection["histogram"]["known"]) == 10
    assert text.count('class="bars known"') == 2  # bars and legend
    assert 'class="bars other"' not in text
    assert {one["slice"] for one in metrics["slices"]} <= set(SLICES)
    for one in metrics["slices"]:
        assert one["photos"] + one["other_photos"] == 10
        assert SLICES[one["slice"]].split("'")[0] in text


def test_a_report_shows_what_evaluate_has_measured(run_copy, demo_photos, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    shutil.copy(demo_photos[0], tmp_path / "other")
    monkeypatch.setattr("sys.argv", ["evaluate", str(run_copy), "--other", str(tmp_path / "other")])
    evaluate.main()
    args = parse_arguments([str(run_copy)])
    check_arguments(args)
    assert args.out == run_copy / "report.html"
    report(args.runs, args.out)
    text = args.out.read_text(encoding="utf-8")
    assert "Of 1 photos of other places" in text
    assert text.count('class="bars other"') == 2
    assert "combination (used)" in text


def test_an_evaluation_that_can_t_be_read_is_named(run_copy, tmp_path):
    (run_copy / "evaluation" / "test").mkdir(parents=True)
    (run_copy / "evaluation" / "test" / "evaluation.json").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match=r"evaluation\.json can't be read .*Delete it"):
        report([run_copy], tmp_path / "report.html")


def test_nothing_is_loaded(small_run):
    page = Page((small_run / "report.html").read_text(encoding="utf-8"))
    assert [link for link in page.loaded if not link.startswith(("#", "data:"))] == []


def test_the_answers_are_stored_and_are_those_of_the_metrics(small_run):
    results = read_predictions(small_run)
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    correct = sum(one.is_correct for one in results)
    assert correct / len(results) == pytest.approx(metrics["test"]["accuracy"])
    losses = [one.loss for one in results]
    assert sum(losses) / len(losses) == pytest.approx(metrics["test"]["loss"], abs=1e-5)


def test_a_run_without_stored_answers_is_recognised_again(small_run, demo_data):
    records, recognizer = open_records(demo_data), load_recognizer(small_run)
    again = recognize_test_photos(RunDir(small_run), records, recognizer)
    for one, stored in zip(again, read_predictions(small_run), strict=True):
        assert (one.photo_id, one.landmark) == (stored.photo_id, stored.landmark)
        assert (one.score, one.loss) == pytest.approx((stored.score, stored.loss), abs=0.02)


def test_the_same_run_gives_the_same_bytes(small_run, run_copy, tmp_path, capsys):
    pages = []
    for name in ("a.html", "b.html"):
        report([small_run], tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    (run_copy / FILE).unlink()
    report([run_copy], tmp_path / "c.html")
    assert "has stored no answers" in capsys.readouterr().out


def test_several_runs_are_side_by_side(small_run, run_copy, tmp_path):
    report([small_run, run_copy], tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "Runs side by side" in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {"run1-photos", "run2-photos", "run1-worst", "run2-worst"} <= set(ids)


def test_gone_and_other_records_are_named_and_the_rest_is_shown(small_run, records, tmp_path):
    out = tmp_path / "report.html"
    report([small_run], out, tmp_path / "nowhere")
    text = out.read_text(encoding="utf-8")
    assert "No photos are shown, because the run" in text
    assert photos_in(text) == []
    assert 'class="matrix"' in text
    manifest = records.data_dir / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    values["shards"][0]["sha256"] = "0"
    manifest.write_text(json.dumps(values), encoding="utf-8")
    report([small_run], out, records.data_dir)
    assert "holds other records than the run" in out.read_text(encoding="utf-8")


def hostile_report(small_run):
    """The report of a run whose landmarks and photos have such names."""
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    results = [
        PhotoResult(f"{name}.jpg", name, HOSTILE[number - 1], 0.5, 1.0)
        for number, name in enumerate(HOSTILE)
    ]
    metrics["warning"] = HOSTILE[0]
    run = RunDir(small_run)
    contents = run_report.read_contents(run, metrics, [], small_run, [HOSTILE[2]])
    contents = dataclasses.replace(contents, landmarks=HOSTILE, results=results)
    dot = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    pictures = dict.fromkeys(range(len(HOSTILE)), dot)
    images = PhotoImages(pictures, pictures, pictures)
    return render_report([RunReport(contents, *select_photos(contents), images)])


def test_names_are_text(small_run):
    text = hostile_report(small_run)
    page = Page(text)
    assert page.tags.count("script") == 2  # the photos, and ours
    assert not {name for name in page.attributes if name.startswith("on")}
    assert "49" not in re.findall(r"title>(\S*)", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert {photo["landmark"] for photo in photos_in(text)} == set(HOSTILE)


def test_thumbnails_stay_below_their_limit(small_run, demo_data):
    records, recognizer = open_records(demo_data), load_recognizer(small_run)
    results = read_predictions(small_run)
    everything = read_images(records, recognizer, results, range(10), [])
    first = len(everything.thumbnails[3])
    order = [3, 0, 1, 2]
    limited = read_images(records, recognizer, results, order, [], max_bytes=first)
    assert list(limited.thumbnails) == [3]
    assert (limited.views, limited.overlays) == ({}, {})


def test_answers_of_other_photos_are_refused(small_run, demo_data):
    records, recognizer = open_records(demo_data), load_recognizer(small_run)
    others = [PhotoResult(str(number), "a", "a", 0.5, 1.0) for number in range(10)]
    with pytest.raises(UserError, match=r"test_predictions\.csv is not of these records"):
        read_images(records, recognizer, others, range(10), [])


def test_the_backbone_sees_only_photos_with_maps(small_run, demo_data, monkeypatch):
    seen = []
    explain = thumbnails.explain
    monkeypatch.setattr(
        thumbnails,
        "explain",
        lambda model, photos: seen.append(len(photos)) or explain(model, photos),
    )
    records, recognizer = open_records(demo_data), load_recognizer(small_run)
    results = read_predictions(small_run)
    images = read_images(records, recognizer, results, range(10), [4, 2])
    assert seen == [2]
    assert set(images.overlays) == {2, 4}


def test_a_report_that_fails_is_written_by_the_same_command(small_run, tmp_path, monkeypatch):
    config = dataclasses.replace(
        read_json(small_run / "config.json"), run_dir=str(tmp_path / "again")
    )
    run = RunDir(tmp_path / "again")

    def fail(*_):
        raise OSError("no report today")

    with monkeypatch.context() as patched:
        patched.setattr(training, "write_run_report", fail)
        with pytest.raises(OSError, match="no report today"):
            training.train(config)
    assert not run.is_complete
    assert run.model.exists()
    history = (run.path / "history.csv").read_bytes()
    training.train(config)
    assert run.is_complete
    assert (run.path / "history.csv").read_bytes() == history
    assert (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [("", "is a folder. Expected a file, such as"), ("no/report.html", "No folder .*mkdir -p")],
)
def test_a_file_that_can_t_be_written_is_refused_first(out, message, small_run, tmp_path):
    args = parse_arguments([str(small_run), "--out", str(tmp_path / out)])
    with pytest.raises(UserError, match=message):
        check_arguments(args)


def test_runs_that_can_t_be_shown_are_refused(small_run, run_copy, tmp_path):
    out = ["--out", str(tmp_path / "report.html")]
    with pytest.raises(UserError, match=r"No folder .*missing"):
        check_arguments(parse_arguments([str(small_run), str(tmp_path / "missing"), *out]))
    with pytest.raises(UserError, match=r"Several runs have no report yet.*--out FILE"):
        check_arguments(parse_arguments([str(small_run), str(run_copy)]))
    with pytest.raises(UserError, match="at most 12 runs"):
        check_arguments(parse_arguments([str(small_run)] * 13 + out))
    (run_copy / FILE).write_text("photo_id,landmark\na,b\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"test_predictions.csv can't be read.*Delete it"):
        report([run_copy], tmp_path / "report.html")
    rows = "photo_id,landmark,predicted,score,loss\n1,atlantis,atlantis,0.5,1.0\n"
    (run_copy / FILE).write_text(rows, encoding="utf-8")
    with pytest.raises(UserError, match=r"not in labels\.txt, such as 'atlantis'\. Delete it"):
        report([run_copy], tmp_path / "report.html", tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_what_is_damaged_is_named(run_copy, tmp_path):
    (run_copy / "metrics.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.json can't be read as JSON"):
        entry.report([run_copy], tmp_path / "report.html")
