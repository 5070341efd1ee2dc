"""The mistakes that benchmarks/mistakes.py makes are those of docs/results.md, each by itself."""

import json
import sys

import keras
import numpy as np
import pytest
from keras import ops
from paths import REPOSITORY

from glr_keras.config import new_config
from glr_keras.models.heads import build_head
from glr_keras.models.objective import compile_model

sys.path.append(str(REPOSITORY / "benchmarks"))

import mistaken_features
import mistakes
from mistaken_models import ForgottenMomentum, build_mistaken

LANDMARKS = 5
SHAPE = (7, 7, 4)
TINY = {"head_units": (6,), "attention_channels": 3}


@pytest.fixture
def config():
    return new_config(TINY, "report")


@pytest.fixture
def features():
    return np.random.default_rng(0).uniform(0, 3, (2, *SHAPE)).astype(np.float32)


def heads(config, *made):
    return build_mistaken(config, LANDMARKS, SHAPE, set()), build_mistaken(
        config, LANDMARKS, SHAPE, set(made)
    )


def test_without_a_mistake_it_is_the_abn_of_the_product(config, features):
    head, _ = heads(config)
    expected = build_head(config, LANDMARKS, SHAPE)(features)
    found = head(features)
    assert set(found) == {"attention", "perception"}
    for branch, logits in expected.items():
        np.testing.assert_array_equal(found[branch], logits)


def test_mistake_1_gives_probabilities_to_the_loss(config, features):
    head, mistaken = heads(config, 1)
    for branch, logits in head(features).items():
        np.testing.assert_allclose(mistaken(features)[branch], ops.softmax(logits), rtol=1e-6)


def test_mistake_1_has_softmax_twice_in_training(config, features):
    _, mistaken = heads(config, 1)
    compile_model(mistaken, config, steps_per_epoch=1)
    labels = np.array([1, 2])
    loss = mistaken.test_on_batch(features, dict.fromkeys(mistaken.branches, labels))[0]
    expected = 0
    for branch, weight in (("attention", 0.25), ("perception", 1.0)):
        each = np.asarray(mistaken(features)[branch])
        chosen = each[[0, 1], labels]
        expected += weight * (np.log(np.exp(each).sum(1)) - chosen).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_mistake_2_has_one_loss_of_the_weighted_sum(config):
    _, mistaken = heads(config, 2)
    mistaken.output_weights = {"attention": 0.25, "perception": 1.0}
    outputs = {"attention": [[4.0, 0, 0, 0, 0]], "perception": [[0.0, 0, 0, 0, 0]]}
    outputs = {branch: ops.array(values) for branch, values in outputs.items()}
    label = dict.fromkeys(outputs, np.array([0]))
    loss = mistaken.compute_loss(y=label, y_pred=outputs)
    assert float(loss) == pytest.approx(np.log(np.e + 4) - 1)  # logits 1, 0, 0, 0, 0


def test_mistake_3_has_features_times_the_map(config, features):
    head, mistaken = heads(config, 3)
    attention_map = head.explain(features)["attention_map"]
    found = mistaken.explain(features)
    np.testing.assert_array_equal(found["perception"], head.perceive(features * attention_map))
    np.testing.assert_array_equal(found["attention_map"], attention_map)


def test_mistake_4_puts_a_linear_layer_behind_an_average_at_stride_1():
    config = new_config(TINY, "report")
    head = build_mistaken(config, 27, SHAPE, {4})
    _, margin, average, _, linear = head.scores.layers
    assert linear.kernel.shape == (1323, 27)  # as in the notebooks
    maps = np.zeros((1, 7, 7, 27), np.float32)
    maps[0, 0, 0] = 49
    found = ops.convert_to_numpy(average(margin(maps)))
    # The corner lies in the windows of the 4 x 4 cells around it; zeros outside count.
    expected = np.zeros((7, 7))
    expected[:4, :4] = 1
    np.testing.assert_allclose(found[0, :, :, 0], expected)


@pytest.mark.parametrize("is_normalized", [True, False])
def test_mistake_5_has_random_weights_of_the_seed(is_normalized):
    config = new_config({"image_size": 32, "weights": "imagenet", "seed": 3}, "report")
    one, other = (mistaken_features.untrained_backbone(config, is_normalized) for _ in range(2))
    kernels = [weight for weight in one.get_weights() if weight.ndim == 4]
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    deviation = np.sqrt(2 / (9 * 512))  # He, fan out
    assert kernels[-1].std() == pytest.approx(deviation, rel=0.01)
    seen = one.layers[1](np.full((1, 1, 1, 3), 255, np.float32))
    white = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225] if is_normalized else 1
    np.testing.assert_allclose(seen[0, 0, 0], np.ones(3) * white, rtol=1e-5)


def test_mistake_5_gives_batch_norms_the_statistics_of_photos(records):
    settings = {"backbone": "mobilenet_v2", "image_size": 32, "precision": "float32"}
    config = new_config(settings, "report")
    backbone, _ = mistaken_features._mistaken_backbone(records, config, {5})
    batches = mistaken_features.photo_batches(records, "train", 32, config.framing, 64)
    features = backbone.predict_on_batch(next(batches.as_numpy_iterator())["photo"])
    # Of mean 0 and variance 1, behind a ReLU; with the norms as made, they vanish.
    assert features.mean() == pytest.approx(0.4, abs=0.1)


def test_mistake_6_shows_the_backbone_a_grey_photo():
    photos = keras.Input((2, 2, 3))
    backbone = keras.Model(photos, keras.layers.Identity()(photos))
    seen = mistaken_features._without_normalization(backbone)(np.full((1, 2, 2, 3), 255.0))
    # z = 1, one standard deviation above the mean, is what a white photo was taken for.
    expected = 255 * np.add([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen[0, 0, 0], expected, rtol=1e-5)


def test_mistake_7_begins_an_epoch_without_momentum(config):
    head, _ = heads(config)
    compile_model(head, config, steps_per_epoch=1)
    head.optimizer.build(head.trainable_variables)
    for momentum in head.optimizer.momentums:
        momentum.assign(ops.ones_like(momentum))
    callback = ForgottenMomentum()
    callback.set_model(head)
    callback.on_epoch_begin(1)
    assert not any(ops.any(momentum) for momentum in head.optimizer.momentums)


def test_mistake_8_follows_the_files_names_whatever_the_folder():
    order = mistaken_features._order_of_files(["b/2.jpg", "a/3.jpg", "c/1.jpg"])
    assert order.tolist() == [2, 0, 1]


def result(validation, test, photos=("a", "b")):
    return {
        "photos": {"validation": list(photos), "test": ["c", "d"]},
        "correct": {"perception": {"validation": validation, "test": test}},
    }


def test_points_lost_are_paired_over_photos():
    without, having = [result([1, 1], [1, 0])], [result([1, 0], [0, 0])]
    points, half_width = mistakes.cost(without, having, "perception")
    assert points == 50
    assert half_width == pytest.approx(196 * np.sqrt(1 / 3 / 4))  # of 0, 1, 1, 0


def test_points_lost_on_other_photos_are_not_paired():
    without = [result([1, 1], [1, 0])]
    having = [result([1, 0], [0, 0], photos=("e", "f"))]
    points, half_width = mistakes.cost(without, having, "perception")
    assert points == 50
    assert half_width == pytest.approx(196 * np.sqrt(2 * 1 / 4 / 4))  # of 3 and of 1 in 4


def test_points_lost_vary_with_the_seed_too():
    without = [result([1, 1], [1, 1]), result([1, 1], [1, 1])]
    having = [result([1, 1], [1, 1]), result([0, 0], [0, 0])]
    points, half_width = mistakes.cost(without, having, "perception")
    assert points == 50
    assert half_width == pytest.approx(196 * np.sqrt(1 / 2 / 2))  # of the seeds' 0 and 1


def test_the_whole_script_prints_a_table_and_goes_on(records, tmp_path, monkeypatch, capsys):
    flags = f"--data-dir {records.data_dir} --out {tmp_path / 'out'} --weights random"
    tiny = "--image-size 64 --head-units 8 --attention-channels 4 --epochs 1 --seeds 1"
    rows = ["--rows", "8", "1-7"]
    monkeypatch.setattr(sys, "argv", ["mistakes.py", *flags.split(), *tiny.split(), *rows])
    monkeypatch.chdir(tmp_path)
    mistakes.main()
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[1:]] == [
        "| none",
        "| 8: split in file order, copies anywhere",
        "| 1-7, frozen",
    ]
    assert printed.startswith("command  ")
    kept = json.loads((tmp_path / "out" / "8-seed0.json").read_text())
    assert len(kept["correct"]["both"]["test"]) == 10
    names = [photo.split("/")[1] for split in kept["photos"].values() for photo in split]
    assert names == sorted(names)
    mistakes.main()  # nothing is left to do
    again = capsys.readouterr().out
    assert "seed 0:" not in again
    assert [line for line in again.splitlines() if line.startswith("| ")] == lines
