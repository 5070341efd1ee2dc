"""Every choice of a run has one flag, one default, one range; a wrong one says what to type."""

import argparse
import dataclasses
import json
import math
from pathlib import Path

import pytest

import glr_keras
from glr_keras.config import (
    DEMO,
    EARLIER_VALUES,
    FitConfig,
    add_flags,
    differences,
    from_flags,
    read_json,
    to_json,
)
from glr_keras.config.rules import RANGES
from glr_keras.fit import parse_config
from tfrecords.common.console import UserError
from tfrecords.common.flags import choices_of

FIELDS = dataclasses.fields(FitConfig)
# What is typed after each flag, and the value it stands for; none is the default.
TYPED = {
    "data_dir": ("data/mine", "data/mine"),
    "run_dir": ("runs/mine", "runs/mine"),
    "features_dir": ("scratch/features", "scratch/features"),
    "backbone": ("mobilenet_v2", "mobilenet_v2"),
    "weights": ("random", "random"),
    "cut_layer": ("block4_pool", "block4_pool"),
    "feature_layers": ("block4_pool,block5_pool", "block4_pool,block5_pool"),
    "branch_layer": ("block4_pool", "block4_pool"),
    "train_trunk": (None, True),
    "finetune_after": ("block4_pool", "block4_pool"),
    "trunk_learning_rate": ("0.01", 0.01),
    "frozen_epochs": ("1", 1),
    "image_size": ("96", 96),
    "framing": ("center", "center"),
    "precision": ("float32", "float32"),
    "head": ("dropout", "dropout"),
    "answer": ("attention", "attention"),
    "pooling": ("average", "average"),
    "normalize": (None, False),
    "head_units": ("64 32", (64, 32)),
    "dropout": ("0.25", 0.25),
    "attention_channels": ("16", 16),
    "attention_kernel": ("3", 3),
    "attention_map": ("class-agnostic", "class-agnostic"),
    "attention_start": ("random", "random"),
    "alpha": ("0", 0.0),
    "beta": ("2", 2.0),
    "optimizer": ("sgd", "sgd"),
    "learning_rate": ("1e-2", 0.01),
    "schedule": ("constant", "constant"),
    "warmup_epochs": ("1", 1.0),
    "step_epochs": ("2", 2),
    "step_factor": ("0.5", 0.5),
    "momentum": ("0", 0.0),
    "weight_decay": ("0.01", 0.01),
    "clip_norm": ("1", 1.0),
    "ema": ("0.99", 0.99),
    "label_smoothing": ("0.1", 0.1),
    "mixup": ("0.5", 0.5),
    "balance": ("0.5", 0.5),
    "patience": ("4", 4),
    "batch_size": ("8", 8),
    "epochs": ("5", 5),
    "views": ("3", 3),
    "plain_view": (None, False),
    "seed": ("7", 7),
    "feature_seed": ("3", 3),
    "live": (None, True),
    "finetune_from": ("runs/base", "runs/base"),
    "trainable_blocks": ("2", 2),
    "distribute": ("mirrored", "mirrored"),
    "rotation": ("45", 45.0),
    "min_crop_area": ("0.8", 0.8),
    "brightness": ("0.1", 0.1),
    "flip": (None, False),
}
# What a field can't be set without.
NEEDED = {
    "feature_layers": {"pooling": "root"},
    "warmup_epochs": {"epochs": 100_000},
    "finetune_from": {"trainable_blocks": 1},
    "trainable_blocks": {"finetune_from": "runs/base"},
    "train_trunk": {"branch_layer": "block4_pool"},
    "frozen_epochs": {"branch_layer": "block4_pool", "train_trunk": True, "epochs": 100_000},
}


def flag_of(name):
    return "--" + name.replace("_", "-")


def typed_flag(name):
    text, value = TYPED[name]
    if isinstance(value, bool):
        return [flag_of(name) if value else f"--no-{name.replace('_', '-')}"]
    return [flag_of(name), *text.split()]


def parser_with_flags():
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser


def written(folder, text):
    path = folder / "config.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "dropout", "answer": "attention"}, "a dropout head has no attention branch"),
        (
            {"feature_layers": "a,b", "cut_layer": "a", "pooling": "root"},
            "--feature-layers and --cut-layer exclude each other",
        ),
        ({"feature_layers": "a,b", "pooling": "flatten"}, "can't go with --pooling flatten"),
        ({"head": "logistic", "live": True}, "--head logistic is fitted to stored features"),
        ({"head": "logistic", "mixup": 0.3}, "leave out --mixup"),
        ({"head": "logistic", "pooling": "ensemble"}, "name --pooling root, or another head"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FitConfig(**settings)


def test_presets_are_what_flags_go_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = parse_config(["--data-dir", "data/mine", "--preset", "report", "--epochs", "2"])
    assert (report.head_units, report.answer, report.epochs) == ((4096, 4096), "perception", 2)
    assert (report.optimizer, report.learning_rate, report.momentum) == ("sgd", 1e-3, 0.9)
    assert (report.normalize, report.pooling, report.rotation) == (False, "flatten", 45)
    flags = ["--data-dir", "data/mine", *["--feature-layers=", "--mixup", "0", "--pooling", "root"]]
    assert parse_config(flags) == FitConfig(data_dir="data/mine")
    with pytest.raises(UserError, match="--preset is for a new run"):
        parse_config(["--preset", "fast", "--config", "config.json"])


def test_a_config_of_an_earlier_version_keeps_its_answer(tmp_path):
    earlier = json.loads(to_json(FitConfig(pooling="average")))
    for name in EARLIER_VALUES:
        del earlier[name]
    config = read_json(written(tmp_path, json.dumps(earlier)))
    assert (config.answer, config.attention_start) == ("perception", "random")
    assert config.attention_map == "class-agnostic"
    assert read_json(written(tmp_path, '{"alpha": 1}')).answer == FitConfig().answer


def test_every_field_is_tried_below():
    assert list(TYPED) == [field.name for field in FIELDS]
    assert all(TYPED[field.name][1] != field.default for field in FIELDS)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_field_has_a_flag_that_tells_its_help_and_default(field):
    actions = {action.dest: action for action in parser_with_flags()._actions}
    action = actions[field.name]
    assert flag_of(field.name) in action.option_strings
    assert action.help.startswith(field.metadata["help"])
    default = "none" if field.name == "head_units" else field.default
    if default == "":  # an empty text would tell nothing: the help says what happens instead
        assert "default: " in action.help or "without it" in action.help
    else:
        assert action.help.endswith(f" (default: {default})")


@pytest.mark.parametrize("name", TYPED)
def test_a_typed_flag_overrides_and_the_others_keep_the_base(name):
    base = FitConfig(seed=3, views=9)
    if name in ("finetune_from", "trainable_blocks"):
        base = dataclasses.replace(base, finetune_from="runs/first", trainable_blocks=1)
    if name in ("feature_layers", "train_trunk", "frozen_epochs"):
        base = dataclasses.replace(base, **NEEDED[name])
    flags = vars(parser_with_flags().parse_args(typed_flag(name)))
    assert list(flags) == [name]
    assert from_flags(flags, base) == dataclasses.replace(base, **{name: TYPED[name][1]})
    assert type(getattr(from_flags(flags, base), name)) is type(TYPED[name][1])


def test_no_flags_are_the_base():
    base = FitConfig(seed=3)
    assert from_flags(vars(parser_with_flags().parse_args([])), base) == base


def test_head_units_without_a_number_are_none():
    assert parse_config(["--data-dir", "x", "--head-units"]).head_units == ()


def test_a_view_per_epoch_unless_views_are_named():
    assert FitConfig(epochs=4, views=0).num_views == 4
    assert FitConfig(epochs=4, views=2).num_views == 2


def test_photos_go_through_the_backbone_where_it_is_asked_for_or_learns():
    assert not FitConfig().is_live
    assert FitConfig(live=True).is_live
    assert FitConfig(finetune_from="runs/base", trainable_blocks=1).is_live


def test_demo_defaults_hold_without_a_data_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_config([]) == FitConfig(**DEMO)
    assert parse_config(["--seed", "5"]) == FitConfig(**DEMO | {"seed": 5})


def test_a_typed_flag_goes_over_the_demo_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_config(["--alpha", "0.25"]) == FitConfig(**DEMO | {"alpha": 0.25})


def test_the_layer_of_the_demo_gives_way_to_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_config([]).cut_layer == parse_config(["--preset", "fast"]).cut_layer != ""
    for flags in (
        ("--backbone", "mobilenet_v2"),
        ("--preset", "report"),
        ("--preset", "finetune"),
        ("--feature-layers", "block4_pool,block5_pool"),
        ("--branch-layer", "block4_pool"),
        ("--cut-layer", ""),
    ):
        config = parse_config(list(flags))
        assert config.cut_layer == ""
        assert config.image_size == (224 if "report" in flags else DEMO["image_size"])


def test_demo_defaults_do_not_reach_real_photos():
    of_vgg16 = {"feature_layers": "block4_pool,block5_pool", "mixup": 0.3, "pooling": "ensemble"}
    assert parse_config(["--data-dir", "x"]) == FitConfig(data_dir="x", **of_vgg16)


def test_backbones_have_layers_of_their_own_unless_others_are_typed():
    def layers(*flags):
        return parse_config(["--data-dir", "x", *flags]).feature_layers

    assert layers("--backbone", "mobilenet_v2") == "block_13_expand_relu,out_relu"
    assert layers("--preset", "fast") == "block4_pool,block5_pool"
    assert layers("--backbone", "resnet50_v2") == ""
    assert layers("--preset", "report") == ""
    assert layers("--preset", "report", "--pooling", "average") == ""
    assert layers("--pooling", "flatten") == ""
    assert layers("--cut-layer", "block5_conv3") == ""
    assert layers("--feature-layers", "block5_pool") == "block5_pool"
    assert layers("--feature-layers", "") == ""


def test_the_backbones_end_is_fine_tuned_where_that_was_measured_or_typed():
    def finetuned(*flags):
        return parse_config(["--data-dir", "x", "--preset", "finetune", *flags])

    assert finetuned().finetune_after == "block4_pool"
    assert finetuned().feature_layers == "block4_pool,block5_pool"
    assert (finetuned().epochs, finetuned().ema, finetuned().mixup) == (15, 0.98, 0.3)
    with_layer = finetuned("--backbone", "mobilenet_v2", "--finetune-after", "block_12")
    assert with_layer.finetune_after == "block_12"
    assert finetuned("--finetune-after", "block3").finetune_after == "block3"
    with pytest.raises(UserError, match="measured to pay with vgg16, not with xception"):
        finetuned("--backbone", "xception")


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        (
            ("--preset", "finetune", "--head", "logistic"),
            "--preset finetune sets --finetune-after.",
        ),
        (
            ("--preset", "finetune", "--frozen-epochs", "15"),
            "--preset finetune sets --epochs.",
        ),
        (
            ("--preset", "report", "--feature-layers", "block4_pool"),
            "--preset report sets --pooling.",
        ),
        (("--feature-layers", "block4_pool", "--cut-layer", "block4_pool"), ""),
    ],
)
def test_a_message_names_where_flags_that_nobody_typed_come_from(flags, source):
    with pytest.raises(UserError) as raised:
        parse_config(["--data-dir", "x", *flags])
    assert str(raised.value).partition("\n")[2] == source


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--head dropout --alpha 0.5", "--alpha changes nothing with --head dropout: leave it"),
        ("--preset fast --attention-channels 8", "--attention-channels changes nothing with --h"),
        ("--preset fast --head-units 8", "--head-units changes nothing with --head logistic"),
        ("--preset fast --ema 0.9", "--ema changes nothing with --head logistic"),
        ("--head logistic --dropout 0.5", "--dropout changes nothing with --head logistic"),
        ("--momentum 0.5", "--momentum changes nothing with --optimizer adam"),
        ("--attention-start random", "nothing with --attention-map class-specific"),
        ("--step-factor 0.5", "nothing with --schedule cosine"),
        ("--head linear --head-units 8", "--head-units changes nothing with --head linear"),
        ("--pooling average --dropout 0.5", "--dropout changes nothing with --head-units none"),
        ("--trunk-learning-rate 0.5", r"where nothing of the backbone learns \(--finetune-after"),
    ],
)
def test_a_flag_without_effect_is_refused(flags, message, tmp_path):
    with pytest.raises(UserError, match=message):
        parse_config(["--data-dir", "x", *flags.split()])
    if "--preset" not in flags:
        plain = "--mixup 0 --pooling root"
        path = written(tmp_path, to_json(parse_config(["--data-dir", "x", *plain.split()])))
        with pytest.raises(UserError, match=message):
            parse_config(["--config", str(path), *flags.split()])


@pytest.mark.parametrize(
    "flags",
    [
        "--preset report --head dropout",
        "--head linear --head-units",
        "--head dropout --alpha 0 --answer perception",
        "--optimizer sgd --momentum 0.5",
        "--attention-map class-agnostic --attention-start random",
        "--dropout 0.5",
        "--preset finetune --trunk-learning-rate 0.5",
    ],
)
def test_a_flag_that_changes_something_or_says_what_holds_is_taken(flags):
    parse_config(["--data-dir", "x", *flags.split()])


def test_a_message_names_what_the_demo_sets():
    with pytest.raises(UserError, match=r"\nThe built-in demo sets --epochs\.$"):
        parse_config(["--warmup-epochs", "20"])


def test_photos_are_mixed_where_that_was_measured_to_help_unless_something_else_is_typed():
    def mixup(*flags):
        return parse_config(["--data-dir", "x", *flags]).mixup

    assert mixup() == mixup("--backbone", "mobilenet_v2") == 0.3
    assert mixup("--mixup", "0") == 0
    assert mixup("--mixup", "1", "--backbone", "mobilenet_v2") == 1
    for others in (
        ("--backbone", "resnet50_v2"),
        ("--preset", "fast"),
        ("--head", "logistic"),
        ("--preset", "report"),
    ):
        assert mixup(*others) == 0


def test_features_of_some_backbones_are_pooled_in_several_ways():
    def pooling(*flags):
        return parse_config(["--data-dir", "x", *flags]).pooling

    assert pooling() == pooling("--backbone", "mobilenet_v2", "--head", "dropout") == "ensemble"
    assert pooling("--preset", "finetune") == "ensemble"
    assert pooling("--finetune-after", "block4_pool") == "ensemble"
    assert pooling("--pooling", "root") == "root"
    tuned = "--backbone mobilenet_v2 --finetune-after block_12"
    for others in ("--backbone resnet50_v2", "--preset fast", tuned):
        assert pooling(*others.split()) == "root"
    assert parse_config([]).pooling == "average"  # the demo's


def test_a_config_file_replaces_all_defaults_and_flags_go_over_it(tmp_path):
    earlier = FitConfig(head_units=(8,), flip=False, alpha=0.5)
    path = written(tmp_path, to_json(earlier))
    assert parse_config(["--config", str(path)]) == earlier
    assert parse_config(["--epochs", "9", "--config", str(path), "--flip"]) == (
        dataclasses.replace(earlier, epochs=9, flip=True)
    )


def test_what_is_written_is_read_back(tmp_path):
    typed = {name: value for name, (_, value) in TYPED.items()}
    excluded = {"cut_layer": "", "feature_layers": "", "finetune_after": ""}
    config = FitConfig(**typed | excluded | {"answer": "perception", "head": "abn"})
    assert read_json(written(tmp_path, to_json(config))) == config
    assert list(json.loads(to_json(config))) == [field.name for field in FIELDS]


def test_fields_that_a_file_lacks_take_their_default(tmp_path):
    assert read_json(written(tmp_path, '{"seed": 4}')) == FitConfig(seed=4)
    assert read_json(written(tmp_path, "{}")) == FitConfig()


def test_a_whole_number_does_for_a_fraction(tmp_path):
    alpha = read_json(written(tmp_path, '{"alpha": 1}')).alpha
    assert (alpha, type(alpha)) == (1.0, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"learning_rat": 1, "b": 2}', r"unknown settings b, learning_rat\. Known are: data_dir,"),
        ('{"epochs": "3"}', r"epochs must be int, got '3'\."),
        ('{"epochs": 3.0}', r"epochs must be int, got 3\.0\."),
        ('{"epochs": true}', r"epochs must be int, got True\."),
        ('{"flip": 1}', r"flip must be bool, got 1\."),
        ('{"alpha": null}', r"alpha must be float, got None\."),
        ('{"alpha": true}', r"alpha must be float, got True\."),
        ('{"backbone": 16}', r"backbone must be str, got 16\."),
        ('{"head_units": 64}', r"head_units must be a list of whole numbers, got 64\."),
        ('{"head_units": [64, 1.5]}', r"must be a list of whole numbers, got \[64, 1\.5\]\."),
        ('{"head_units": [true]}', r"must be a list of whole numbers, got \[True\]\."),
        ('{"alpha": NaN}', r"--alpha must be between 0 and 1000, got nan\."),
        ('{"head": "vgg"}', r"--head must be one of abn, dropout, linear, logistic, got vgg\."),
        ("seed: 3", r"config\.json can't be read as JSON"),
        ("", r"config\.json can't be read as JSON"),
        ("[1, 2]", r"config\.json: expected an object of settings, got list\."),
    ],
)
def test_a_wrong_file_is_refused(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_json(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    message = r"No file .*nothing\.json\. Expected a config\.json of an earlier run\."
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "nothing.json")


def test_a_folder_or_bytes_in_place_of_a_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="can't be read as JSON"):
        read_json(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"photo\.jpg can't be read as JSON"):
        read_json(tmp_path / "photo.jpg")


def test_every_number_has_a_range():
    numbers = {field.name for field in FIELDS if type(field.default) in (int, float)}
    assert {name for name, _, _ in RANGES} == numbers


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_numbers_out_of_their_range_are_refused(name, low, high):
    if isinstance(getattr(FitConfig(), name), int):
        outside = [low - 1, high + 1]
    else:
        outside = [math.nextafter(low, -1), math.nextafter(high, math.inf), math.nan, math.inf]
    for value in outside:
        with pytest.raises(UserError, match=f"^{flag_of(name)} must be between .*, got "):
            FitConfig(**{name: value})


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_both_ends_of_a_range_are_allowed(name, low, high):
    others = NEEDED.get(name, {})
    low = 1 if name == "trainable_blocks" else low  # 0 is for runs that are not fine-tuned
    for value in (low, high):
        assert getattr(FitConfig(**others, **{name: value}), name) == value


@pytest.mark.parametrize("units", [(0,), (64, -1)])
def test_layers_without_units_are_refused(units):
    with pytest.raises(UserError, match="--head-units must be whole numbers above 0, got "):
        FitConfig(head_units=units)


def test_alpha_and_beta_both_0_are_refused():
    with pytest.raises(UserError, match="--beta 0 leaves nothing to learn here"):
        FitConfig(alpha=0.0, beta=0.0)
    FitConfig(alpha=0.0, beta=1.0)
    FitConfig(alpha=0.25, beta=0.0)


def test_beta_0_is_refused_where_nothing_else_learns():
    with pytest.raises(UserError, match="--beta"):
        FitConfig(head="dropout", alpha=0.25, beta=0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adamw"}, "adamw is adam until --weight-decay is set, e.g. to 0.01"),
        (
            {"warmup_epochs": 3.5, "epochs": 3},
            "at most --epochs 3, got 3.5",
        ),
        ({"trainable_blocks": 1}, "--trainable-blocks needs --finetune-from RUN"),
        ({"finetune_from": "runs/base"}, "--trainable-blocks must be 1 or more with --finetune-fr"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FitConfig(**settings)


@pytest.mark.parametrize("name", [field.name for field in FIELDS if choices_of(field)])
def test_an_unknown_choice_exits_2_and_names_the_choices(name, capsys):
    with pytest.raises(SystemExit) as exit_info:
        parse_config([flag_of(name), "none_such"])
    assert exit_info.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {flag_of(name)}: invalid choice: 'none_such'" in said
    choices = {field.name: choices_of(field) for field in FIELDS}[name]
    assert all(choice in said.splitlines()[-1] for choice in choices)


def test_a_number_out_of_range_ends_the_command_with_exit_code_2(run_python):
    done = run_python("-m", "glr_keras.fit", "--epochs", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "\nerror: --epochs must be between 1 and 100000, got 0.\n"


def test_help_names_every_flag_and_every_demo_default(run_python):
    done = run_python("-m", "glr_keras.fit", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(flag_of(name) in done.stdout for name in TYPED)
    words = " ".join(done.stdout.split())
    for name, value in DEMO.items():
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        assert f"{name} {shown}" in words


def test_help_starts_neither_tensorflow_nor_keras(run_python):
    code = (
        "import sys, glr_keras.fit\n"
        "try: glr_keras.fit.parse_config(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    assert run_python("-c", code).stdout.splitlines()[-1] == "[]"


def test_where_something_lies_is_no_difference():
    config = FitConfig(data_dir="a", run_dir="b", weights="c.h5")
    moved = dataclasses.replace(
        config, data_dir="/a", run_dir="/b", features_dir="/f", weights="/c.h5"
    )
    assert differences(config, moved) == []
    assert differences(FitConfig(weights="random"), config) == ["weights was 'random', now 'c.h5'"]
    second = {"finetune_from": "runs/base", "trainable_blocks": 1}
    other = dataclasses.replace(config, **second)
    assert len(differences(config, other)) == 2
    assert differences(other, dataclasses.replace(other, finetune_from="/runs/base")) == []


def test_a_precision_that_is_not_resolved_is_no_difference():
    auto, named = FitConfig(), FitConfig(precision="bfloat16")
    assert differences(auto, named) == differences(named, auto) == []
    assert len(differences(named, FitConfig(precision="float32"))) == 1


def test_features_lie_beside_the_records_unless_a_folder_is_named():
    assert FitConfig(data_dir="data/x").features_path == Path("data/x/features")
    assert FitConfig(data_dir="data/x", features_dir="y").features_path == Path("y")


def test_differences_name_the_field_and_both_values():
    config = FitConfig()
    assert differences(config, config) == []
    other = dataclasses.replace(config, head_units=(8,), seed=1)
    assert differences(config, other) == [
        "head_units was (), now (8,)",
        "seed was 0, now 1",
    ]


def test_the_package_gives_its_config_and_no_other_name():
    assert glr_keras.FitConfig is FitConfig
    with pytest.raises(AttributeError, match="module 'glr_keras' has no attribute 'Resnet'"):
        _ = glr_keras.Resnet
