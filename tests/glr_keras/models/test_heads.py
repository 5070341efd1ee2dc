"""The heads: what they compute, what is optimised, what is reported, what is saved."""

import dataclasses
import itertools
import json
import os

import keras
import numpy as np
import pytest
from plain_config import plain_config
from tiny_models import LANDMARKS, SHAPE, features, photos_8_by_12, tiny_recognizer

import glr_keras
from glr_keras.models.abn import ABN
from glr_keras.models.heads import build_head
from glr_keras.models.objective import compile_model
from glr_keras.models.plain_heads import DropoutHead
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.metrics import log_softmax

CONFIG = plain_config(
    head_units=(8,), attention_channels=5, dropout=0.0, batch_size=4, normalize=False
)
HEADS = ["abn", "dropout"]


def head_of(num_landmarks=3, shape=SHAPE, **settings):
    return build_head(dataclasses.replace(CONFIG, **settings), num_landmarks, shape)


def compiled(num_landmarks=3, **settings):
    config = dataclasses.replace(CONFIG, **settings)
    head = build_head(config, num_landmarks, SHAPE)
    compile_model(head, config, steps_per_epoch=2)
    head.run_eagerly = True  # one step each: tracing a graph would take most of the time
    return head


def labels_for(head, labels):
    return dict.fromkeys(head.branches, np.asarray(labels))


def cross_entropy(logits, labels):
    return -log_softmax(np.asarray(logits))[np.arange(len(labels)), labels].mean()


def numpy_of(outputs):
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def weights_of(model):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in model.weights]


def same(weights, others):
    return all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))


def unsettle_batch_norm(head, seed=1):
    """Gives batch norms the statistics and scales of a trained head, unlike those of a new one."""
    rng = np.random.default_rng(seed)
    for variable in head.weights:
        if variable.path.rsplit("/", 1)[1] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def batch_norm(values, layer):
    mean, variance = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else 1
    beta = keras.ops.convert_to_numpy(layer.beta) if layer.center else 0
    return (values - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def dense_parameters(inputs, units, num_landmarks):
    sizes = [inputs, *units, num_landmarks]
    return sum((size + 1) * after for size, after in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("head", "names"), [("abn", ["attention", "perception"]), ("dropout", ["perception"])]
)
def test_a_head_gives_one_row_of_logits_per_photo_and_output(head, names):
    outputs = numpy_of(head_of(head=head, num_landmarks=7)(features(5)))
    assert sorted(outputs) == names
    for logits in outputs.values():
        assert (logits.shape, logits.dtype) == ((5, 7), np.float32)


def test_the_report_s_head_has_the_report_s_number_of_parameters():
    # 134,371,163 of its VGG-16 with 27 classes, less the 14,714,688 of the convolutions.
    defaults = plain_config()
    inputs = 7 * 7 * 512
    assert dense_parameters(inputs, defaults.head_units, 27) == 134_371_163 - 14_714_688
    small = head_of(head="dropout", num_landmarks=5, shape=(7, 7, 3), head_units=(6, 9))
    assert small.count_params() == dense_parameters(7 * 7 * 3, (6, 9), 5)
    assert (defaults.head_units, defaults.dropout, defaults.pooling) == (
        (4096, 4096),
        0.5,
        "flatten",
    )


def test_dropout_head_is_flatten_dense_relu_dense():
    head = head_of(head="dropout", head_units=(8, 6), dropout=0.5)
    values = features().reshape(6, -1)
    dense = [layer for layer in head.branch.layers if isinstance(layer, keras.layers.Dense)]
    for layer in dense:
        kernel, bias = layer.get_weights()
        values = values @ kernel + bias
        if layer is not dense[-1]:
            values = np.maximum(values, 0)
    logits = numpy_of(head(features()))["perception"]
    np.testing.assert_allclose(logits, values, rtol=1e-4, atol=1e-5)


def test_hidden_units_are_dropped_in_training_only():
    head = head_of(head="dropout", head_units=(64,), dropout=0.5)
    assert same(head(features()).values(), head(features()).values())
    once, twice = (head(features(), training=True)["perception"] for _ in range(2))
    assert not np.array_equal(once, twice)


@pytest.mark.parametrize("head", HEADS)
def test_average_pooling_reads_the_mean_over_space(head):
    model = head_of(head=head, head_units=(), pooling="average")
    kernel, bias = model.branch.layers[-1].get_weights()
    assert kernel.shape == (4, 3)
    outputs = numpy_of(model.explain(features())) if head == "abn" else {"attention_map": 0}
    expected = (features() * (1 + outputs["attention_map"])).mean((1, 2)) @ kernel + bias
    logits = numpy_of(model(features()))["perception"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_no_head_units_is_one_linear_layer():
    head = head_of(head="dropout", head_units=())
    assert head.count_params() == (2 * 3 * 4 + 1) * 3
    # Linear: the middle of two inputs has the middle of their logits.
    a, b, middle = (
        numpy_of(head(x))["perception"]
        for x in (features(seed=0), features(seed=1), (features(seed=0) + features(seed=1)) / 2)
    )
    np.testing.assert_allclose((a + b) / 2, middle, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_normalize_gives_each_channel_mean_0_and_deviation_1_first(head):
    plain = head_of(head=head)
    normalized = head_of(head=head, normalize=True)
    # Neither scale nor shift: the layers behind it have their own.
    assert normalized.count_params() == plain.count_params() + 2 * SHAPE[-1]
    assert normalized.normalization.trainable_variables == []
    unsettle_batch_norm(normalized)
    for part in ("activations", "scores", "map", "branch") if head == "abn" else ("branch",):
        getattr(plain, part).set_weights(getattr(normalized, part).get_weights())
    expected = plain(batch_norm(features(), normalized.normalization))
    for name, logits in numpy_of(normalized(features())).items():
        np.testing.assert_allclose(logits, expected[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_scale_and_shift_of_the_features_do_not_matter_when_normalized(head):
    model = head_of(head=head, normalize=True)
    shift = np.arange(4, dtype="float32")
    for name, logits in numpy_of(model(features(), training=True)).items():
        scaled = model(100 * features() + shift, training=True)[name]
        np.testing.assert_allclose(scaled, logits, rtol=1e-2, atol=1e-2)


def test_abn_computes_what_the_paper_says():
    head = head_of(num_landmarks=7, head_units=(), pooling="average")
    unsettle_batch_norm(head)
    outputs = numpy_of(head.explain(features()))
    activations = keras.ops.convert_to_numpy(head.activations(features()))
    assert activations.shape == (6, 2, 3, 7)
    assert activations.min() == 0  # after ReLU

    kernel, bias = head.scores.layers[0].get_weights()
    assert kernel.shape == (1, 1, 7, 7)
    scores = activations @ kernel[0, 0] + bias
    np.testing.assert_allclose(outputs["attention"], scores.mean((1, 2)), rtol=1e-4, atol=1e-5)

    kernel, bias = head.map.layers[0].get_weights()
    assert kernel.shape == (1, 1, 7, 1)
    attention_map = sigmoid(batch_norm(activations @ kernel[0, 0] + bias, head.map.layers[1]))
    np.testing.assert_allclose(outputs["attention_map"], attention_map, rtol=1e-4)

    kernel, bias = head.branch.layers[-1].get_weights()
    expected = (features() * (1 + attention_map)).mean((1, 2)) @ kernel + bias
    np.testing.assert_allclose(outputs["perception"], expected, rtol=1e-4, atol=1e-5)


def test_abn_convolutions_are_the_report_s():
    head = head_of(num_landmarks=7)
    shapes = [tuple(variable.shape) for variable in head.activations.trainable_variables]
    assert shapes == [
        *[(3, 3, 4, 5), (5,)],
        *[(3, 3, 5, 5), (5,)],
        *[(5,), (5,)],
        *[(1, 1, 5, 7), (7,)],
    ]
    assert plain_config().attention_channels == 512


def test_attention_map_has_one_value_in_0_to_1_per_position():
    attention_map = numpy_of(head_of().explain(10 * features()))["attention_map"]
    assert (attention_map.shape, attention_map.dtype) == ((6, 2, 3, 1), np.float32)
    assert (attention_map > 0).all()
    assert (attention_map < 1).all()


def test_explain_says_what_a_call_says():
    head = head_of()
    explained, called = numpy_of(head.explain(features())), numpy_of(head(features()))
    assert set(explained) == {"attention", "perception", "attention_map"}
    for name, logits in called.items():
        np.testing.assert_array_equal(explained[name], logits)


@pytest.mark.parametrize("head", HEADS)
def test_no_output_went_through_a_softmax(head):
    for logits in numpy_of(head_of(head=head)(features())).values():
        assert logits.min() < 0
        assert np.abs(logits.sum(1) - 1).min() > 1e-3


@pytest.mark.parametrize(("alpha", "beta"), [(0.25, 1.0), (0.0, 1.0), (2.0, 0.5)])
def test_loss_is_alpha_times_attention_plus_beta_times_perception(alpha, beta):
    head = compiled(alpha=alpha, beta=beta)
    assert head.get_compile_config()["loss_weights"] == {"attention": alpha, "perception": beta}
    labels = np.array([0, 1, 2, 0, 1, 2])
    outputs = numpy_of(head(features()))
    losses = {name: cross_entropy(logits, labels) for name, logits in outputs.items()}
    assert abs(losses["attention"] - losses["perception"]) > 1e-3
    result = head.evaluate(features(), labels_for(head, labels), verbose=0, return_dict=True)
    expected = alpha * losses["attention"] + beta * losses["perception"]
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    assert result["attention_loss"] == pytest.approx(losses["attention"], rel=1e-5)
    assert result["perception_loss"] == pytest.approx(losses["perception"], rel=1e-5)


def test_loss_of_a_dropout_head_is_beta_times_its_cross_entropy():
    head = compiled(head="dropout", alpha=9.0, beta=0.5)
    labels = np.array([0, 1, 2, 0, 1, 2])
    result = head.evaluate(features(), labels_for(head, labels), verbose=0, return_dict=True)
    logits = numpy_of(head(features()))["perception"]
    assert result["loss"] == pytest.approx(0.5 * cross_entropy(logits, labels), rel=1e-5)


def test_alpha_0_leaves_the_attention_scores_and_still_teaches_the_map():
    head = compiled(alpha=0.0)
    scores, attention_map = weights_of(head.scores), weights_of(head.map)
    head.train_on_batch(features(), labels_for(head, [0, 1, 2, 0, 1, 2]))
    assert same(weights_of(head.scores), scores)
    assert not np.array_equal(weights_of(head.map)[0], attention_map[0])


def test_beta_0_leaves_the_perception_branch():
    head = compiled(beta=0.0)
    branch, scores = weights_of(head.branch), weights_of(head.scores)
    head.train_on_batch(features(), labels_for(head, [0, 1, 2, 0, 1, 2]))
    assert same(weights_of(head.branch), branch)
    assert not same(weights_of(head.scores), scores)


@pytest.mark.parametrize("head", HEADS)
def test_history_names_every_output_s_accuracy_and_top5(head):
    model = compiled(head=head)
    labels = labels_for(model, [0, 1, 2, 0, 1, 2])
    data = (features(), labels)
    history = model.fit(*data, validation_data=data, verbose=0).history
    names = {f"{name}_{kind}" for name in labels for kind in ("accuracy", "top5", "loss")}
    # Those of the answer; and the loss that is minimised.
    names |= {"accuracy", "top5", "cross_entropy", "loss"}
    assert names | {f"val_{name}" for name in names} == set(history)


def test_an_abn_answers_with_the_mean_of_both_branches_probabilities():
    head = head_of(head="abn")
    outputs = numpy_of(head(features()))
    attention, perception = (np.asarray(keras.ops.softmax(outputs[name])) for name in head.branches)
    np.testing.assert_allclose(head.probabilities(features()), (attention + perception) / 2, 1e-5)
    for answer, expected in (("attention", attention), ("perception", perception)):
        alone = head_of(head="abn", answer=answer)
        np.testing.assert_allclose(alone.probabilities(features()), expected, 1e-5)


def test_of_mixed_photos_the_label_with_the_larger_part_is_measured():
    head = compiled(mixup=0.3)
    labels = np.array([0, 1, 2, 0, 1, 2])
    expected = head.evaluate(features(), labels_for(head, labels), verbose=0, return_dict=True)
    mixed = 0.7 * np.eye(3)[labels] + 0.3 * np.eye(3)[(labels + 1) % 3]
    targets = dict.fromkeys(head.branches, mixed)
    found = head.evaluate(features(), targets, verbose=0, return_dict=True)
    assert found.pop("loss") != pytest.approx(expected.pop("loss"), rel=1e-3)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("head", HEADS)
def test_losses_that_are_reported_are_plain_cross_entropies(head, smoothing):
    model = compiled(head=head, label_smoothing=smoothing)
    labels = [0, 1, 2, 0, 1, 2]
    result = model.evaluate(features(), labels_for(model, labels), verbose=0, return_dict=True)
    outputs = {"cross_entropy": np.log(model.probabilities(features()))}
    outputs |= {f"{name}_loss": logits for name, logits in numpy_of(model(features())).items()}
    for name, logits in outputs.items():
        expected = -np.asarray(keras.ops.log_softmax(logits))[range(6), labels].mean()
        assert result[name] == pytest.approx(expected, rel=1e-5)


def test_the_map_starts_as_the_mean_of_the_landmarks_activations():
    head = head_of(head="abn", num_landmarks=4)
    np.testing.assert_array_equal(head.map.layers[0].kernel, np.full((1, 1, 4, 1), 0.25))


def test_a_head_that_was_saved_without_an_answer_answers_as_it_did():
    config = head_of(head="abn").get_config()
    del config["answer"], config["attention_start"], config["attention_map"]
    head = ABN.from_config(config)
    assert (head.answer, head.settings["attention_start"]) == ("perception", "random")
    assert head.settings["attention_map"] == "class-agnostic"


def test_accuracy_and_top5_count_photos():
    head = compiled(head="dropout", num_landmarks=7, head_units=(8,))
    logits = numpy_of(head(features(20)))["perception"]
    order = np.argsort(-logits, axis=1)
    labels = np.concatenate([order[:8, 0], order[8:13, 4], order[13:, 5]])
    result = head.evaluate(features(20), labels_for(head, labels), verbose=0, return_dict=True)
    assert result["perception_accuracy"] == pytest.approx(8 / 20)
    assert result["perception_top5"] == pytest.approx(13 / 20)


def test_top5_of_3_landmarks_is_all_of_them():
    head = compiled(num_landmarks=3)
    labels = labels_for(head, [0, 1, 2, 0, 1, 2])
    result = head.evaluate(features(), labels, verbose=0, return_dict=True)
    assert (result["attention_top5"], result["perception_top5"]) == (1.0, 1.0)


def test_the_optimizer_is_the_config_s():
    sgd = compiled(optimizer="sgd", learning_rate=0.02, momentum=0.8).optimizer
    assert isinstance(sgd, keras.optimizers.SGD)
    assert sgd.momentum == 0.8
    adam = compiled(optimizer="adam", learning_rate=0.02).optimizer
    assert type(adam) is keras.optimizers.Adam
    for optimizer in (sgd, adam):
        assert float(optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize("head", HEADS)
def test_same_seed_same_initial_weights(head):
    weights = weights_of(head_of(head=head, seed=5))
    keras.utils.set_random_seed(99)  # what was drawn before does not matter
    assert same(weights, weights_of(head_of(head=head, seed=5)))
    other = weights_of(head_of(head=head, seed=6))
    constant = head == "abn"  # the start of the map's convolution
    kernels = [index for index, weight in enumerate(weights) if np.ptp(weight) > 0]
    assert len(kernels) == sum(weight.ndim > 1 for weight in weights) - constant
    assert not any(np.array_equal(weights[index], other[index]) for index in kernels)


def test_same_seed_same_dropout():
    def trained():
        head = compiled(head="dropout", dropout=0.5, seed=4)
        head.train_on_batch(features(), labels_for(head, [0, 1, 2, 0, 1, 2]))
        return weights_of(head)

    assert same(trained(), trained())


def test_every_dropout_layer_has_a_seed_of_its_own():
    dropouts = head_of(seed=4, head_units=(8, 8)).branch.layers[2::2]
    assert [layer.seed for layer in dropouts] == [4, 5]


@pytest.mark.parametrize(
    ("name", "kind", "attention_channels"), [("abn", ABN, 5), ("dropout", DropoutHead, None)]
)
def test_build_head_hands_every_setting_on(name, kind, attention_channels):
    settings = {"head_units": (7, 6), "dropout": 0.3, "pooling": "average", "normalize": True}
    head = head_of(head=name, num_landmarks=9, seed=2, **settings)
    assert isinstance(head, kind)
    assert head.built
    expected = {"num_landmarks": 9, "seed": 2, **settings, "head_units": [7, 6]}
    if attention_channels:
        expected["attention_channels"] = attention_channels
        expected |= {"attention_kernel": 3, "attention_start": "constant", "answer": "combined"}
        expected |= {"attention_map": "class-agnostic"}
    assert head.settings == expected
    again = kind.from_config(json.loads(json.dumps(head.get_config())))
    assert again.settings == expected


@pytest.mark.parametrize("head", HEADS)
def test_a_recognizer_is_its_head_on_its_backbone(head):
    recognizer = tiny_recognizer(head_of(head=head))
    photos = photos_8_by_12()
    expected = numpy_of(recognizer.head(recognizer.backbone(photos)))
    for name, logits in numpy_of(recognizer(photos)).items():
        np.testing.assert_array_equal(logits, expected[name])


def test_the_backbone_stays_as_it_is_while_the_head_learns():
    recognizer = tiny_recognizer(head_of())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = dict.fromkeys(["attention", "perception"], loss)
    recognizer.compile("sgd", loss=losses, run_eagerly=True)
    backbone, head = weights_of(recognizer.backbone), weights_of(recognizer.head)
    labels = labels_for(recognizer.head, [0, 1, 2, 0])
    recognizer.fit(photos_8_by_12(), labels, verbose=0)
    assert same(weights_of(recognizer.backbone), backbone)
    assert not same(weights_of(recognizer.head), head)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_model_loads_with_the_same_outputs_and_landmarks(head, normalize, tmp_path):
    recognizer = tiny_recognizer(head_of(head=head, normalize=normalize))
    unsettle_batch_norm(recognizer)
    recognizer.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is Recognizer
    assert type(loaded.head) is type(recognizer.head)
    assert loaded.landmarks == LANDMARKS
    assert not loaded.backbone.trainable
    outputs, again = (numpy_of(model(photos_8_by_12())) for model in (recognizer, loaded))
    assert set(outputs) == set(again)
    for name, logits in outputs.items():
        np.testing.assert_array_equal(again[name], logits)


def test_importing_the_package_is_enough_to_load_a_model(run_python, tmp_path):
    recognizer = tiny_recognizer(head_of())
    recognizer.save(tmp_path / "model.keras")
    np.save(tmp_path / "photos.npy", photos_8_by_12())
    code = (
        "import glr_keras\n"
        "import keras\n"
        "import os, sys\n"
        "import numpy as np\n"
        "def registered(): return keras.saving.get_registered_object('glr_keras>ABN')\n"
        "before_keras = registered()\n"
        "assert before_keras is not None\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "model = keras.saving.load_model('model.keras')\n"
        "np.savez('outputs.npz', **model(np.load('photos.npy')))\n"
        "print(ascii(model.landmarks))\n"
        # The other order, without a second start of TensorFlow: forget us, keep Keras.
        f"os.chdir({os.getcwd()!r})\n"
        "for name in [n for n in sys.modules if n.startswith('glr_keras')]:\n"
        "    del sys.modules[name]\n"
        "import glr_keras\n"
        "assert registered() is sys.modules['glr_keras.models.abn'].ABN is not before_keras\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ascii(recognizer.landmarks)
    outputs = np.load(tmp_path / "outputs.npz")
    for name, logits in numpy_of(recognizer(photos_8_by_12())).items():
        np.testing.assert_allclose(outputs[name], logits, rtol=1e-5, atol=1e-6)


def test_the_package_gives_its_models():
    assert (glr_keras.ABN, glr_keras.DropoutHead, glr_keras.Recognizer) == (
        ABN,
        DropoutHead,
        Recognizer,
    )
