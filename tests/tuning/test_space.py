"""What a search varies."""

import dataclasses
import itertools

import keras_tuner
import pytest

from glr_keras.config import FitConfig
from tfrecords.common.console import UserError
from tuning.space import (
    DEFAULT,
    DIMENSIONS,
    Dimension,
    alpha_beta_grid,
    choose_space,
    config_of,
    declare,
    encode,
    ladder,
    read_space,
)

BASE = FitConfig()


def names_of(dimensions):
    return [dimension.name for dimension in dimensions]


def space_of(names, base=BASE):
    space = keras_tuner.HyperParameters()
    declare(space, choose_space(names, None, base), base)
    return space


def written(tmp_path, text, name="space.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_every_hyperparameter_is_a_field_of_fit_config():
    assert set(DIMENSIONS) <= {field.name for field in dataclasses.fields(FitConfig)}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_every_value_is_taken_by_fit_config(name):
    for value in DIMENSIONS[name].ends:
        config = config_of({name: encode(value)}, BASE)
        assert getattr(config, name) == value
        assert type(getattr(config, name)) is type(getattr(BASE, name))


def test_alpha_reaches_0_and_1():
    values = DIMENSIONS["alpha"].values
    assert (values[0], values[-1], len(values)) == (0.0, 1.0, 21)


def test_a_ladder_has_both_ends_where_steps_do_not_add_up_exactly():
    assert ladder(0.0, 0.7, 0.1) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_beta_is_log_uniform_and_never_0():
    beta = DIMENSIONS["beta"]
    assert (beta.sampling, beta.low * beta.high) == ("log", 1.0)


def test_by_default_what_the_user_has_set_is_not_searched():
    assert names_of(choose_space(None, None, BASE)) == list(DEFAULT)
    chosen = choose_space(None, None, BASE, typed=["alpha", "epochs", "optimizer"])
    assert names_of(chosen) == ["head_units", "beta", "dropout", "learning_rate", "momentum"]


def test_by_default_what_makes_no_difference_is_not_searched():
    base = FitConfig(head="dropout", optimizer="adam")
    chosen = names_of(choose_space(None, None, base, typed=["optimizer"]))
    assert chosen == ["head_units", "beta", "dropout", "learning_rate"]


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
    ],
)
def test_a_conditional_one_is_active_only_where_it_matters(parent, value, child, is_active):
    space = space_of([parent, child])
    space.values = {parent: value}
    space.ensure_active_values()
    assert (child in space.values) == is_active


def test_what_is_not_active_stays_as_in_the_base():
    base = FitConfig(momentum=0.7)
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


def test_a_file_gives_values_and_ranges(tmp_path):
    text = (
        "alpha = [0, 0.5]\n"
        "head_units = [[], [64, 32]]\n"
        'learning_rate = {low = 0.001, high = 0.1, sampling = "log"}\n'
        "batch_size = {low = 8, high = 32, step = 8}\n"
    )
    expected = {
        "alpha": Dimension("alpha", (0.0, 0.5)),
        "head_units": Dimension("head_units", ((), (64, 32))),
        "learning_rate": Dimension("learning_rate", (), 0.001, 0.1, "log"),
        "batch_size": Dimension("batch_size", (8, 16, 24, 32)),
    }
    path = written(tmp_path, text)
    assert read_space(path) == expected
    chosen = choose_space(None, path, BASE)
    assert sorted(names_of(chosen)) == sorted(expected)
    assert names_of(choose_space(["alpha", "beta", *expected], path, BASE)).count("alpha") == 1


def test_json_is_read_too(tmp_path):
    path = written(tmp_path, '{"alpha": [0, 1], "pooling": ["average"]}', "space.json")
    assert read_space(path)["pooling"] == Dimension("pooling", ("average",))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["alpha", "gamma"], "gamma is no hyperparameter. These can be searched: seed, head,"),
        (["backbone"], "backbone changes what is stored or where. These can be searched"),
        (["step_factor"], "step_factor changes nothing while schedule is 'constant'"),
        ([""], " is no hyperparameter. These can be searched"),
    ],
)
def test_an_unusable_name_is_told(names, message):
    with pytest.raises(UserError, match=message):
        choose_space(names, None, BASE)


def test_set_and_searched_at_once_is_refused():
    with pytest.raises(UserError, match="alpha: set and searched at once"):
        choose_space(["alpha", "beta"], None, BASE, typed=["alpha"])


def test_nothing_to_search_is_told():
    with pytest.raises(UserError, match="Nothing is left to search"):
        choose_space(None, None, BASE, typed=DEFAULT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta = {low = 2, high = 1}", "range of beta is empty: low 2.0 is not below high 1.0"),
        ("beta = {low = 1, high = 1}", "range of beta is empty"),
        ("beta = []", "beta must be a list of values, or low and high"),
        ("beta = 3", r"beta must be a list of values, or low and high .* got 3"),
        ('beta = {low = 0, high = 1, sampling = "log"}', "needs a low above 0, got 0.0"),
        ('beta = {low = 1, high = 2, sampling = "cubic"}', "must be linear or log, got 'cubic'"),
        ("beta = {low = 1, high = 2, step = 3}", "step of beta must lie between 0 and 1"),
        ("pooling = {low = 1, high = 2}", "pooling is no number: give it a list of values"),
        ('beta = ["much"]', "beta takes float, got 'much'"),
        ("epochs = [1.5]", "epochs takes int, got 1.5"),
        ("head_units = [512]", "head_units takes a list of whole numbers, got 512"),
        ("dropout = [0.5, 1.5]", "range of dropout goes too far: --dropout must be between"),
        ('optimizer = ["adamw"]', "range of optimizer goes too far: --optimizer adamw is adam"),
        ("gamma = [1]", "gamma is no hyperparameter"),
        ("alpha = ", "can't be read as TOML or JSON"),
        ("", "expected names, each with values or a range"),
    ],
)
def test_a_file_with_a_mistake_is_told(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        choose_space(None, written(tmp_path, text), BASE)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"No file .*none.toml. Expected a search space"):
        read_space(tmp_path / "none.toml")


def test_a_name_that_is_left_out_of_space_is_told(tmp_path):
    with pytest.raises(UserError, match="names alpha, which --space leaves out"):
        choose_space(["beta"], written(tmp_path, "alpha = [0, 1]"), BASE)


def test_adamw_may_be_searched_with_its_decay(tmp_path):
    path = written(tmp_path, 'optimizer = ["sgd", "adamw"]\nweight_decay = [0.001, 0.01]')
    assert names_of(choose_space(None, path, BASE)) == ["optimizer", "weight_decay"]
