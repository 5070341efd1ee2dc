"""Files of other runtimes answer as Keras does, and are there completely or not at all."""

import dataclasses
import json
from contextlib import suppress

import numpy as np
import pytest

from glr_keras import build_model
from glr_keras import export as command
from glr_keras.calibration.rejector import load_rejector
from glr_keras.calibration.temperature import apply_temperature
from glr_keras.config import FitConfig, read_json
from glr_keras.data.records import open_records
from glr_keras.exporting import comparing, files
from glr_keras.exporting.comparing import Comparison
from glr_keras.exporting.files import export_files, keep_accurate
from glr_keras.exporting.folders import new_folder
from glr_keras.exporting.portable import portable_function
from glr_keras.inference.loading import load_recognizer
from tfrecords.common.console import UserError
from tfrecords.common.files import sha256_of

KERAS = Comparison("Keras", 0, 0.0, {1: 1.0, 32: 1.0}, 0.0, 0.0, 10, 0.9)


def test_files_of_a_command_accept_what_it_says(
    small_run, demo_data, tmp_path, monkeypatch, capsys
):
    def write(pixels, recognizer, folder, calibration):
        (folder / "model.onnx").write_bytes(b"converted")
        return {"float32": folder / "model.onnx"}

    comparison = dataclasses.replace(KERAS, name="model.onnx")
    monkeypatch.setitem(files.RUNTIMES, "onnx", (write, lambda _: None))
    monkeypatch.setattr(comparing, "compare", lambda *_: [KERAS, comparison])
    monkeypatch.setattr(command, "check_extra", lambda _: None)
    flags = ["--format", "onnx", "--accept", ".8", "--data-dir", str(demo_data)]
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["export", str(small_run), "--out", str(out), *flags])
    command.main()
    rejection = json.loads((out / "model.json").read_text())["rejection"]
    assert rejection["accept"] == 0.8
    assert rejection["threshold"] == load_rejector(small_run, 0.8).threshold


@pytest.mark.parametrize(
    ("style", "module", "names"),
    [
        ("litert", "ai_edge_litert", [f"model_{p}.tflite" for p in ("float32", "float16", "int8")]),
        ("onnx", "tf2onnx", ["model.onnx"]),
    ],
)
@pytest.mark.slow
def test_files_run_without_tensorflow_and_answer_as_keras(
    small_run, demo_data, tmp_path, monkeypatch, capsys, style, module, names
):
    pytest.importorskip(module, reason=f"needs the extra {style}")
    monkeypatch.setattr(files, "MAX_ACCURACY_LOSS", 1.0)  # of ten photos
    out = tmp_path / "out"
    recognizer, records = load_recognizer(small_run), open_records(demo_data)
    export_files(recognizer, small_run, out, records, style, 10, overwrite=False)
    assert {path.name for path in out.iterdir()} == {
        *names,
        "model.json",
        "comparison.json",
        "MODEL_CARD.md",
    }
    description = json.loads((out / "model.json").read_text())
    assert description["labels"] == recognizer.landmarks
    assert description["crop"]["size"] == 32
    assert description["sha256"] == {name: sha256_of(out / name) for name in names}
    card = (out / "MODEL_CARD.md").read_text()
    assert all(description["sha256"][name] in card for name in names)
    table = capsys.readouterr().out
    assert all(f"| {name} | " in table for name in names)
    views, _ = comparing.read_views(records, "test", 3, recognizer)
    _, open_file = files.RUNTIMES[style]
    answer = open_file(out / names[0])(views)
    expected = portable_function(recognizer, load_rejector(small_run))(views)
    assert set(answer) == set(description["outputs"]) == set(expected)
    assert "rejection_score" in answer
    assert description["rejection"]["temperature"] > 0
    for name, values in expected.items():
        np.testing.assert_allclose(answer[name], values, atol=1e-4)
    with pytest.raises(UserError, match=r"holds an export\. Name another --out, or add --over"):
        export_files(recognizer, small_run, out, records, style, 10, overwrite=False)


@pytest.mark.parametrize(("style", "module"), [("litert", "ai_edge_litert"), ("onnx", "tf2onnx")])
@pytest.mark.slow
def test_an_ensemble_of_ways_of_pooling_runs_in_other_runtimes(tmp_path, style, module):
    pytest.importorskip(module, reason=f"needs the extra {style}")
    settings = {"backbone": "mobilenet_v2", "weights": "random", "image_size": 64}
    recognizer = build_model(FitConfig(**settings, pooling="ensemble"), num_landmarks=3)
    random = np.random.default_rng(0)
    for member in recognizer.head.branch.members:
        kernel, bias = member.layers[-1].get_weights()
        member.layers[-1].set_weights([9 * random.normal(size=kernel.shape), bias])
    views = random.uniform(0, 255, (5, 64, 64, 3)).astype(np.float32)
    pixels = portable_function(recognizer)
    write, open_file = files.RUNTIMES[style]
    run = open_file(write(pixels, recognizer, tmp_path, lambda: [views[:1]])["float32"])
    for photos in (views[:1], views):
        expected, found = pixels(photos), run(photos)
        assert np.ptp(expected["probabilities"]) > 0.01
        for name in ("probabilities", "attention_map"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_a_file_in_float32_that_answers_otherwise_is_refused(tmp_path):
    row = dataclasses.replace(KERAS, name="m.onnx", map_difference=0.01)
    with pytest.raises(UserError, match=r"m.onnx differs from Keras by 1.0e-02, more than 1e-04"):
        keep_accurate({"float32": tmp_path / "m.onnx"}, [KERAS, row])
    row = dataclasses.replace(KERAS, name="m.onnx", difference=np.nan)
    with pytest.raises(UserError, match="differs from Keras by nan"):
        keep_accurate({"float32": tmp_path / "m.onnx"}, [KERAS, row])


def test_a_precision_that_costs_accuracy_is_not_kept(tmp_path, capsys):
    paths = {name: tmp_path / f"{name}.tflite" for name in ("float32", "float16", "int8")}
    for path in paths.values():
        path.touch()
    rows = [KERAS, *(dataclasses.replace(KERAS, name=path.name) for path in paths.values())]
    rows[2] = dataclasses.replace(rows[2], difference=0.01, accuracy=0.895)  # half a point
    rows[3] = dataclasses.replace(rows[3], accuracy=0.89)
    assert keep_accurate(paths, rows) == [paths["float32"], paths["float16"]]
    assert not paths["int8"].exists()
    said = capsys.readouterr().out
    assert said == "int8.tflite costs 1.0% of accuracy, more than 0.5%: it was not kept.\n"


def test_a_folder_is_there_completely_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with suppress(ZeroDivisionError), new_folder(out, False) as folder:
        (folder / "model.json").write_text(str(1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with new_folder(out, False) as folder:
        (folder / "model.json").write_text('{"software": "glr-keras"}')
    with pytest.raises(UserError, match="holds an export"), new_folder(out, False):
        pass
    with new_folder(out, True) as folder:
        (folder / "model.json").write_text('{"software": "glr-keras", "new": 1}')
    assert "new" in (out / "model.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (out / "model.json").write_text("{}")
    with pytest.raises(UserError, match="is no export of files"), new_folder(out, True):
        pass


def test_a_missing_extra_gives_the_install_command(monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs tf2onnx and onnxruntime, .*'.\[onnx\]'"):
        command.check_extra("onnx")


def test_a_head_without_attention_has_no_map(small_run):
    config = dataclasses.replace(read_json(small_run / "config.json"), head="dropout")
    recognizer = build_model(config, 3)
    views = np.zeros((2, 32, 32, 3), np.float32)
    answer = portable_function(recognizer)(views)
    assert set(answer) == {"probabilities", "scores"}
    np.testing.assert_allclose(answer["probabilities"], recognizer.probabilities(views), rtol=1e-5)


def test_a_file_answers_at_the_temperature_of_the_run(small_run, demo_data):
    recognizer, rejector = load_recognizer(small_run), load_rejector(small_run)
    views, _ = comparing.read_views(open_records(demo_data), "test", 3, recognizer)
    answer = portable_function(recognizer, rejector)(views)
    own = np.log(np.asarray(recognizer.probabilities(views)))
    assert rejector.temperature != 1
    expected = apply_temperature(own, rejector.temperature)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-4)
    np.testing.assert_allclose(answer["probabilities"], np.exp(expected), atol=1e-5)
