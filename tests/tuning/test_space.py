"""What a search can vary."""

import dataclasses
import itertools
import types

import keras_tuner
import pytest
from plain_config import plain_config

from glr_keras.config import FitConfig
from glr_keras.config.effects import NEEDS
from glr_keras.features.extraction import features_key
from glr_keras.models.heads import HEADS
from tuning.choice import choose_space
from tuning.space import (
    COMMON,
    DIMENSIONS,
    alpha_beta_grid,
    config_of,
    declare,
    dependency,
    encode,
    inclusive_range,
)

BASE = plain_config()
TRAINED = DIMENSIONS["head"].values


def names_of(dimensions):
    return [dimension.name for dimension in dimensions]


def space_of(names, base=BASE):
    space = keras_tuner.HyperParameters()
    declare(space, choose_space(names, None, base), base)
    return space


def test_a_field_is_searchable_or_common_to_all_trials():
    fields = {field.name for field in dataclasses.fields(FitConfig)}
    assert set(DIMENSIONS) | COMMON == fields
    assert not set(DIMENSIONS) & COMMON


@pytest.mark.parametrize("name", [name for name, one in DIMENSIONS.items() if not one.is_open])
def test_every_value_is_taken_by_fit_config(name):
    for value in DIMENSIONS[name].ends:
        config = config_of({name: encode(value)}, BASE)
        assert getattr(config, name) == value
        assert type(getattr(config, name)) is type(getattr(BASE, name))


@pytest.mark.parametrize("name", DIMENSIONS)
def test_the_features_of_all_trials_are_the_same(name):
    records = types.SimpleNamespace(fingerprint="")
    base = dataclasses.replace(BASE, views=3, feature_seed=0)
    keys = [
        features_key(records, "train", "", config_of({name: encode(value)}, base))
        for value in DIMENSIONS[name].ends
        if not DIMENSIONS[name].is_open
    ]
    assert all(key == keys[0] for key in keys)


def test_a_field_that_is_not_curated_has_the_choices_of_its_flag():
    assert DIMENSIONS["pooling"].values[:4] == ("flatten", "average", "root", "attentive")
    assert DIMENSIONS["normalize"].values == (False, True)
    assert DIMENSIONS["patience"].is_open


def test_types_of_fields_are_found_once(monkeypatch):
    config_of({"alpha": 0.5}, BASE)
    monkeypatch.setattr("typing.get_type_hints", None)
    assert config_of({"alpha": 0.25}, BASE).alpha == 0.25


def test_alpha_reaches_0_and_1():
    values = DIMENSIONS["alpha"].values
    assert (values[0], values[-1], len(values)) == (0.0, 1.0, 21)


def test_an_inclusive_range_has_both_ends_where_steps_do_not_add_up_exactly():
    assert inclusive_range(0.0, 0.7, 0.1) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_beta_is_log_uniform_and_never_0():
    beta = DIMENSIONS["beta"]
    assert (beta.sampling, beta.low * beta.high) == ("log", 1.0)


def test_parents_stand_before_what_depends_on_them():
    chosen = names_of(choose_space(["momentum", "dropout", "head_units", "optimizer"], None, BASE))
    assert chosen.index("optimizer") < chosen.index("momentum")
    assert chosen.index("head_units") < chosen.index("dropout")


@pytest.mark.parametrize(
    ("parent", "value", "child", "is_active"),
    [
        ("optimizer", "sgd", "momentum", True),
        ("optimizer", "adam", "momentum", False),
        ("head_units", "512 512", "dropout", True),
        ("head_units", "none", "dropout", False),
        ("head", "dropout", "alpha", False),
        ("head", "abn", "alpha", True),
        ("head", "linear", "head_units", False),
        ("head", "dropout", "answer", False),
    ],
)
def test_a_conditional_one_is_active_only_where_it_matters(parent, value, child, is_active):
    space = space_of([parent, child])
    space.values = {parent: value}
    space.ensure_active_values()
    assert (child in space.values) == is_active


@pytest.mark.parametrize(
    "name", sorted({n for head in TRAINED for n in HEADS[head].settings_of_config})
)
def test_a_setting_of_some_heads_is_active_with_these_only(name):
    with_it = {head for head in TRAINED if name in HEADS[head].settings_of_config}
    parent, matters = NEEDS.get(name, (None, None))
    if parent in NEEDS:  # a setting that a setting of this head makes active
        parent, matters = NEEDS[parent]
    if with_it != set(TRAINED):
        assert parent == "head"
        assert {head for head in TRAINED if matters(head)} == with_it


@pytest.mark.parametrize(
    ("base", "others", "expected"),
    [
        (plain_config(), ["head_units"], ("head_units", (), False)),
        (plain_config(pooling="root"), ["head_units"], (None, None, True)),
        (plain_config(), ["head_units", "pooling"], (None, None, True)),
        (plain_config(head="linear"), [], ("pooling", "flatten", False)),
    ],
)
def test_dropout_matters_behind_hidden_layers_and_root_pooling(base, others, expected):
    parent, matters = dependency("dropout", {name: DIMENSIONS[name] for name in others}, base)
    expected_parent, value, is_active = expected
    assert parent == expected_parent
    assert (matters is None or matters(value)) == is_active


def test_what_is_not_active_stays_as_in_the_base():
    base = plain_config(momentum=0.7)
    assert config_of({"optimizer": "adam"}, base) == dataclasses.replace(base, optimizer="adam")


def test_searched_numbers_are_readable():
    config = config_of({"learning_rate": 0.00123456789, "alpha": 0.10000000149011612}, BASE)
    assert (config.learning_rate, config.alpha) == (0.00123457, 0.1)


def test_the_epochs_of_a_rung_are_those_of_the_trial():
    assert config_of({"tuner/epochs": 2, "tuner/round": 1, "alpha": 0.5}, BASE).epochs == 2


def test_the_grid_of_the_report_is_15_cells_seed_by_seed():
    dimensions = alpha_beta_grid([4, 5])
    trials = list(itertools.product(*(dimension.values for dimension in dimensions)))
    assert names_of(dimensions) == ["seed", "alpha", "beta"]
    assert len(trials) == 30
    assert trials[0] == (4, 0.0, 0.5)
    assert {trial[1:] for trial in trials[:15]} == {trial[1:] for trial in trials[15:]}
