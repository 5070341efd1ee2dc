"""The second stage: the last blocks of the backbone learn with the head, from a complete run."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from glr_keras.config import MODEL_FIELDS, FitConfig, to_json
from glr_keras.fit import parse_config
from glr_keras.models.backbones import BACKBONES, blocks_of, build_backbone
from glr_keras.models.heads import HEADS, build_head
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir
from glr_keras.training import checkpoint
from glr_keras.training.batches import LivePhotos
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.finetuning import load_base, unfreeze
from glr_keras.training.loop import fit_recognizer
from glr_keras.training.variables import values
from tfrecords.common.console import UserError

SMALL = FitConfig(
    weights="random",
    cut_layer="block3_pool",
    image_size=32,
    precision="float32",
    head="dropout",
    head_units=(8,),
    pooling="average",
    batch_size=8,
    epochs=2,
    learning_rate=0.01,
)
LANDMARKS = [f"landmark {number}" for number in range(10)]


def make_base(folder, config):
    """A complete run, made without training."""
    backbone = build_backbone(config)
    head = build_head(config, 10, backbone.output_shape[1:])
    recognizer = Recognizer(backbone, head, LANDMARKS)
    recognizer.build(backbone.input_shape)
    run = RunDir(folder)
    with run.claim(config):
        run.save_model(recognizer)
    run.write_json("metrics.json", {"validation": {"perception_accuracy": 0.5}})
    return run


def second_stage(base, **settings):
    config = json.loads((base.path / "config.json").read_text())
    config["head_units"] = tuple(config["head_units"])
    changes = {"finetune_from": str(base.path), "trainable_blocks": 1}
    return FitConfig(**config | changes | settings)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), SMALL)


def names_of_unfrozen(backbone):
    network = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    return {layer.name for layer in network.layers if layer.trainable_variables}


@pytest.fixture(scope="module")
def vgg16():
    return build_backbone(dataclasses.replace(SMALL, cut_layer=""))


@pytest.fixture(scope="module")
def mobilenet_v2():
    return build_backbone(dataclasses.replace(SMALL, backbone="mobilenet_v2", cut_layer=""))


def test_vgg16_has_five_blocks(vgg16):
    blocks = blocks_of(vgg16.get_layer("vgg16"), BACKBONES["vgg16"].block)
    assert list(blocks) == [f"block{number}" for number in range(1, 6)]
    assert [layer.name for layer in blocks["block2"]] == ["block2_conv1", "block2_conv2"]
    assert [len(layers) for layers in blocks.values()] == [2, 2, 3, 3, 3]


def test_mobilenet_v2_has_a_stem_and_sixteen_blocks_with_its_last_layers_in_the_last(mobilenet_v2):
    network = next(one for one in mobilenet_v2.layers if isinstance(one, keras.Model))
    blocks = blocks_of(network, BACKBONES["mobilenet_v2"].block)
    assert list(blocks) == ["stem", *[f"block_{number}" for number in range(1, 17)]]
    assert blocks["stem"][0].name == "Conv1"
    assert [layer.name for layer in blocks["block_16"]][-2:] == ["Conv_1", "Conv_1_bn"]
    counted = sum(len(layer.weights) for layers in blocks.values() for layer in layers)
    assert counted == len(network.weights)


def test_the_last_blocks_are_unfrozen_and_no_other(vgg16):
    unfreeze(vgg16, 1)
    assert names_of_unfrozen(vgg16) == {f"block5_conv{number}" for number in (1, 2, 3)}
    unfreeze(vgg16, 2)
    assert len(names_of_unfrozen(vgg16)) == 6
    unfreeze(vgg16, 5)
    assert len(names_of_unfrozen(vgg16)) == 13


def test_batch_norms_stay_frozen(mobilenet_v2):
    unfreeze(mobilenet_v2, 2)
    free = names_of_unfrozen(mobilenet_v2)
    assert "block_16_expand" in free
    assert not any(name.endswith(("BN", "bn")) for name in free)
    assert {name.rsplit("_", 1)[0] for name in free} == {"block_15", "block_16", "Conv"}


def test_more_blocks_than_there_are_are_refused(vgg16):
    message = r"--trainable-blocks 6: vgg16 has 5 \(block1, block2, block3, block4, block5\)\."
    with pytest.raises(UserError, match=message):
        unfreeze(vgg16, 6)


def test_the_base_run_s_model_is_what_goes_on(base, capsys):
    recognizer, warning = load_base(second_stage(base), LANDMARKS)
    assert warning == ""
    assert capsys.readouterr().out == (
        f"Fine-tuning {base.path}, which reached 50.0% of its validation photos.\n"
    )
    saved = keras.saving.load_model(base.model)
    for mine, its in zip(recognizer.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert names_of_unfrozen(recognizer.backbone) == {f"block3_conv{n}" for n in (1, 2, 3)}


def test_the_base_run_s_warning_goes_with_it(base):
    metrics = json.loads(base.metrics.read_text())
    base.write_json("metrics.json", metrics | {"warning": "WARNING: random weights"})
    assert load_base(second_stage(base), LANDMARKS)[1] == "WARNING: random weights"
    base.write_json("metrics.json", metrics)


def test_a_run_that_is_not_complete_is_refused(tmp_path):
    with RunDir(tmp_path).claim(SMALL):
        pass
    config = dataclasses.replace(SMALL, finetune_from=str(tmp_path), trainable_blocks=1)
    message = rf"--finetune-from {tmp_path}: expected a complete run, and it has no metrics\.json"
    with pytest.raises(UserError, match=message):
        load_base(config, LANDMARKS)


@pytest.mark.parametrize("landmarks", [LANDMARKS[:9], LANDMARKS[::-1]])
def test_records_of_other_landmarks_are_refused(base, landmarks):
    message = rf"knows 10 landmarks, and data/x has {len(landmarks)} or others\. Name the records"
    with pytest.raises(UserError, match=message):
        load_base(second_stage(base, data_dir="data/x"), landmarks)


def fit(folder, config, records):
    """Trains a second stage in `folder` from where it stands; returns it as it began and ended."""
    run = RunDir(folder)
    recognizer, _ = load_base(config, LANDMARKS)
    before = values(recognizer.variables)
    source = LivePhotos(records, recognizer.branches, 10, config)
    with run.claim(config):
        state = fit_recognizer(recognizer, source, tf.distribute.get_strategy(), config, run)
    return recognizer, before, state


def changed(recognizer, before):
    """Paths of the variables that are not as they were."""
    pairs = zip(recognizer.variables, before, strict=True)
    return {variable.path for variable, value in pairs if not np.array_equal(variable, value)}


def interrupted(folder, config, records, step, patch):
    """Trains until so many steps are done and saved."""
    end_step = Checkpoint.on_train_batch_end

    def end_step_and_stop(self, batch, logs=None):
        end_step(self, batch, logs)
        if self.state.step == step:
            raise KeyboardInterrupt

    patch.setattr(checkpoint, "MIN_PAUSE_SECONDS", 0)
    patch.setattr(checkpoint, "TRAINING_PER_SAVING", 0)
    patch.setattr(Checkpoint, "on_train_batch_end", end_step_and_stop)
    with pytest.raises(KeyboardInterrupt):
        fit(folder, config, records)


def assert_same_ending(folder, other, recognizer, same):
    assert (folder / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    for mine, its in zip(recognizer.variables, same.variables, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_only_the_last_block_and_the_head_learn_and_an_interruption_changes_nothing(
    base, records, tmp_path, monkeypatch
):
    config = second_stage(base, epochs=1, views=1)
    recognizer, before, state = fit(tmp_path / "whole", config, records)
    assert state.step == 4
    block = {f"block3_conv{n}/{part}" for n in (1, 2, 3) for part in ("kernel", "bias")}
    learned = changed(recognizer, before)
    assert {path for path in learned if path.startswith("block")} == block
    head = {variable.path for variable in recognizer.head.trainable_variables}
    assert head <= learned
    with monkeypatch.context() as patch:
        interrupted(tmp_path / "part", config, records, 2, patch)
    # Of the backbone, the checkpoint holds what learns: the rest is in the base run.
    stored = RunDir(tmp_path / "part").load_state().variables
    shapes = [tuple(variable.shape) for variable in recognizer.backbone.non_trainable_variables]
    assert shapes[0] == (3, 3, 3, 64)
    assert shapes[0] not in [array.shape for array in stored]
    again, _, _ = fit(tmp_path / "part", config, records)
    assert_same_ending(tmp_path / "part", tmp_path / "whole", again, recognizer)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4, 5])
def test_batch_norms_of_the_backbone_stay_bit_for_bit(step, records, tmp_path, monkeypatch):
    small = dataclasses.replace(SMALL, backbone="mobilenet_v2", cut_layer="", head="abn")
    base = make_base(tmp_path / "base", dataclasses.replace(small, attention_channels=8))
    config = second_stage(base, ema=0.5, optimizer="adam", learning_rate=1e-4)
    recognizer, before, _ = fit(tmp_path / "whole", config, records)
    free = {v.path for v in recognizer.backbone.trainable_variables}
    assert free
    learned = changed(recognizer, before)
    network = next(one for one in recognizer.backbone.layers if isinstance(one, keras.Model))
    assert {v.path for v in network.variables} & learned == free
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert len(norms) > 50
    assert not {v.path for norm in norms for v in norm.variables} & learned
    with monkeypatch.context() as patch:
        interrupted(tmp_path / "part", config, records, step, patch)
    again, _, _ = fit(tmp_path / "part", config, records)
    assert_same_ending(tmp_path / "part", tmp_path / "whole", again, recognizer)


def test_a_second_stage_takes_the_base_run_s_settings_and_a_tenth_of_its_rate(base):
    config = parse_config(["--finetune-from", str(base.path)])
    assert config == dataclasses.replace(
        SMALL,
        finetune_from=str(base.path),
        trainable_blocks=1,
        learning_rate=SMALL.learning_rate / 10,
        precision="auto",
        run_dir=f"{base.path}-finetuned",
    )
    assert config.is_live


def test_what_is_typed_goes_over_them(base, tmp_path):
    flags = ["--trainable-blocks", "2", "--learning-rate", "0.5", "--run-dir", "x", "--epochs", "9"]
    config = parse_config(["--finetune-from", str(base.path), *flags])
    assert (config.trainable_blocks, config.learning_rate, config.run_dir) == (2, 0.5, "x")
    assert (config.epochs, config.head_units) == (9, SMALL.head_units)
    other = tmp_path / "config.json"
    other.write_text(to_json(dataclasses.replace(SMALL, seed=7)))
    config = parse_config(["--finetune-from", str(base.path), "--config", str(other)])
    assert (config.seed, config.finetune_from) == (7, str(base.path))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--head", "abn"], r"head is 'dropout' there, got 'abn'\. Leave that out"),
        (["--image-size", "64", "--dropout", "0"], r"image_size is 32, dropout is 0\.2 there"),
        (["--backbone", "mobilenet_v2"], r"backbone is 'vgg16' there, got 'mobilenet_v2'"),
        (["--weights", "imagenet"], r"weights is 'random' there"),
        (["--head-units", "9", "9"], r"head_units is \(8,\) there, got \(9, 9\)"),
    ],
)
def test_flags_that_ask_for_another_model_are_refused(flags, message, base, tmp_path):
    with pytest.raises(UserError, match=message):
        parse_config(["--finetune-from", str(base.path), *flags])
    other = tmp_path / "config.json"
    other.write_text(to_json(dataclasses.replace(SMALL, pooling="flatten")))
    with pytest.raises(UserError, match="pooling is 'average' there, got 'flatten'"):
        parse_config(["--finetune-from", str(base.path), "--config", str(other)])
    with pytest.raises(UserError, match="image_size is 32 there, got 64"):
        load_base(second_stage(base, image_size=64), LANDMARKS)


def test_all_that_a_head_is_made_of_stays():
    settings = {name for head in HEADS.values() for name in head.settings_of_config}
    assert settings - {"seed"} <= set(MODEL_FIELDS)  # that of the order and the views may change


def test_what_the_base_run_has_may_be_typed(base):
    flags = ["--image-size", "32", "--head", "dropout", "--alpha", "1", "--optimizer", "adam"]
    config = parse_config(["--finetune-from", str(base.path), *flags])
    assert (config.image_size, config.alpha, config.optimizer) == (32, 1.0, "adam")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_backbone_computes_in_the_second_stage_s_own_precision(precision, base, tmp_path):
    other = make_base(tmp_path / "base", dataclasses.replace(SMALL, precision="bfloat16"))
    recognizer, _ = load_base(second_stage(other, precision=precision), LANDMARKS)
    expected = build_backbone(dataclasses.replace(SMALL, precision=precision))
    expected.set_weights(keras.saving.load_model(other.model).backbone.get_weights())
    photos = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        recognizer.backbone.predict_on_batch(photos), expected.predict_on_batch(photos)
    )


def test_a_damaged_model_of_the_base_run_is_one_message(base, tmp_path):
    copy = RunDir(tmp_path / "run")
    shutil.copytree(base.path, copy.path)
    copy.model.write_bytes(copy.model.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.keras can't be loaded"):
        load_base(second_stage(copy), LANDMARKS)


def test_no_base_run_is_told_before_anything_starts(tmp_path):
    with pytest.raises(UserError, match=r"No file .*nowhere/config\.json\. Expected a config\.js"):
        parse_config(["--finetune-from", str(tmp_path / "nowhere")])
