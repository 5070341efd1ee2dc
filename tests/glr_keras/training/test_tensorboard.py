"""What TensorBoard reads of a run: scalars by name, a grid per epoch, and how the run ended."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from glr_keras.training.tensorboard import GRID_PHOTOS, SIDE, RunLog, draw_grid


def read_log(folder):
    log = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    log.Reload()
    return log


def scalars(log, tag):
    return [float(tf.make_ndarray(one.tensor_proto)) for one in log.Tensors(tag)]


def history_of(run, column):
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def test_curves_have_clear_names_and_the_history_s_values(small_run):
    log = read_log(small_run / "logs" / "validation")
    for tag, column in (
        ("accuracy/answer", "val_accuracy"),
        ("top 5 accuracy/attention branch", "val_attention_top5"),
        ("cross-entropy/answer", "val_cross_entropy"),
        ("cross-entropy/perception branch", "val_perception_loss"),
        ("minimised loss/answer", "val_loss"),
    ):
        assert scalars(log, tag) == pytest.approx(history_of(small_run, column), rel=1e-5)
    train = read_log(small_run / "logs" / "train")
    assert scalars(train, "accuracy/answer") == pytest.approx(history_of(small_run, "accuracy"))
    assert [one.step for one in train.Tensors("accuracy/answer")] == [1, 2, 3, 4]


def test_a_head_with_one_branch_is_the_answer(tmp_path):
    row = {"accuracy": 0.5, "perception_accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.25}
    RunLog(tmp_path).write_epoch(row, 1)
    assert sorted(read_log(tmp_path / "train").Tags()["tensors"]) == [
        "accuracy/answer",
        "minimised loss/answer",
    ]
    assert scalars(read_log(tmp_path / "validation"), "accuracy/answer") == [0.25]


def test_each_epoch_has_a_grid_of_photos_and_maps(small_run):
    grids = read_log(small_run / "logs" / "validation").Tensors("photos, and where it looks")
    assert [one.step for one in grids] == [1, 2, 3, 4]
    width, height, *pictures = (tf.make_ndarray(grids[-1].tensor_proto)).tolist()
    assert (int(width), int(height)) == (GRID_PHOTOS * SIDE, 2 * SIDE)
    assert len(pictures) == 1
    first, last = (tf.make_ndarray(grids[n].tensor_proto)[2] for n in (0, -1))
    assert first != last  # it has learned to look


def test_the_grid_has_photos_above_and_maps_below():
    photos = np.full((2, 8, 8, 3), 100.0, np.float32)
    maps = np.zeros((2, 2, 2), np.float32)
    maps[1, 0, 0] = 1
    grid = draw_grid(photos, maps)
    assert grid.shape == (2 * SIDE, 2 * SIDE, 3)
    assert (grid[:SIDE] == 100).all()
    assert grid[SIDE:, :SIDE].max() < 60
    assert grid[SIDE, SIDE].mean() > 150


def test_the_end_has_hyperparameters_confusions_and_precision_recall_curves(small_run):
    log = read_log(small_run / "logs" / "test")
    metrics = json.loads((small_run / "metrics.json").read_text())
    assert scalars(log, "test/accuracy") == pytest.approx([metrics["test"]["accuracy"]])
    content = log.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["batch_size"].number_value == 6
    assert start.hparams["head_units"].string_value == "(16,)"
    assert "run_dir" not in start.hparams
    assert "confusion matrix" in log.Tags()["tensors"]
    curves = [tag for tag in log.Tags()["tensors"] if tag.endswith("/pr_curves")]
    assert len(curves) == 11
    ((curve,),) = [log.Tensors("all answers/pr_curves")]
    true_positives, false_positives, *_, precision, recall = tf.make_ndarray(curve.tensor_proto)
    assert true_positives[0] + false_positives[0] == metrics["test"]["photos"]
    assert precision[0] == pytest.approx(metrics["test"]["accuracy"])
    assert recall[0] == 1 or not true_positives[0]
