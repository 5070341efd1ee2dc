"""What a user chooses to vary, and what is said of mistakes in it."""

import re

import pytest
from plain_config import plain_config

from tfrecords.common.console import UserError
from tuning.choice import choose_space, find_refused, read_space
from tuning.space import DEFAULT, Dimension

BASE = plain_config()


def names_of(dimensions):
    return [dimension.name for dimension in dimensions]


def written(tmp_path, text, name="space.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_by_default_what_the_user_has_set_is_not_searched():
    assert names_of(choose_space(None, None, BASE)) == list(DEFAULT)
    chosen = choose_space(None, None, BASE, typed=["alpha", "epochs", "optimizer"])
    assert names_of(chosen) == ["head_units", "beta", "dropout", "learning_rate", "momentum"]


def test_by_default_what_makes_no_difference_is_not_searched():
    base = plain_config(head="dropout", optimizer="adam")
    chosen = names_of(choose_space(None, None, base, typed=["optimizer"]))
    assert chosen == ["head_units", "beta", "dropout", "learning_rate"]


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
        (["step_factor"], "changes nothing with --schedule constant: add schedule to"),
        (
            ["trunk_learning_rate"],
            r"changes nothing where nothing of the backbone learns \(--fin.*\): set one of",
        ),
        ([""], " is no hyperparameter. These can be searched"),
    ],
)
def test_an_unusable_name_is_reported(names, message):
    with pytest.raises(UserError, match=message):
        choose_space(names, None, BASE)


def test_what_changes_nothing_with_any_searched_value_is_reported(tmp_path):
    path = written(tmp_path, 'head = ["dropout"]\nalpha = [0, 1]', "space.toml")
    with pytest.raises(UserError, match="alpha changes nothing with any head of the search: give"):
        choose_space(None, path, BASE)


def test_set_and_searched_at_once_is_refused():
    with pytest.raises(UserError, match="alpha: set and searched at once"):
        choose_space(["alpha", "beta"], None, BASE, typed=["alpha"])


def test_nothing_to_search_is_reported():
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
def test_a_file_with_a_mistake_is_reported(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        choose_space(None, written(tmp_path, text), BASE)


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"No file .*none.toml. Expected a search space"):
        read_space(tmp_path / "none.toml")


def test_a_name_that_is_left_out_of_space_is_reported(tmp_path):
    with pytest.raises(UserError, match="names alpha, which --space leaves out"):
        choose_space(["beta"], written(tmp_path, "alpha = [0, 1]"), BASE)


def test_adamw_may_be_searched_with_its_decay(tmp_path):
    path = written(tmp_path, 'optimizer = ["sgd", "adamw"]\nweight_decay = [0.001, 0.01]')
    assert names_of(choose_space(None, path, BASE)) == ["optimizer", "weight_decay"]


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    path = tmp_path / "space.TOML"
    path.write_bytes(b"\xef\xbb\xbfalpha = [0.25, 1]\r\n")
    assert read_space(path) == {"alpha": Dimension("alpha", (0.25, 1.0))}


def test_a_number_without_a_range_of_its_own_needs_a_file(tmp_path):
    with pytest.raises(UserError, match="patience has no range of its own"):
        choose_space(["patience"], None, BASE)
    path = written(tmp_path, "patience = [0, 2]")
    assert choose_space(None, path, BASE) == [Dimension("patience", (0, 2))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alpha = [0, 1]\nbeta = [0, 1]", "--beta 0 leaves nothing to learn here."),
        ('optimizer = ["adamw", "sgd"]\nweight_decay = [0, 0.01]', "--optimizer adamw is adam"),
        ("epochs = [3, 10]\nwarmup_epochs = [5, 0]", "--warmup-epochs must be at most --epochs"),
        ('head = ["dropout", "abn"]\nalpha = [1, 0]\nbeta = [0, 1]', "--beta 0 leaves nothing"),
    ],
)
def test_a_value_may_be_refused_with_some_of_the_others(tmp_path, text, reason):
    dimensions = choose_space(None, written(tmp_path, text), BASE)
    assert len(dimensions) == text.count("=")
    assert find_refused(dimensions, BASE).startswith(reason)


def test_of_an_ordinary_space_no_combination_is_refused():
    assert find_refused(choose_space(None, None, BASE), BASE) == ""


@pytest.mark.parametrize(
    "text", ["alpha = [0]\nbeta = [0, 1]", 'head = ["dropout"]\nbeta = [0, 1]']
)
def test_a_value_that_is_refused_with_all_of_the_others_is_an_error(tmp_path, text):
    message = "The range of beta goes too far: --beta 0 leaves nothing to learn here."
    with pytest.raises(UserError, match=re.escape(message)):
        choose_space(None, written(tmp_path, text), BASE)
