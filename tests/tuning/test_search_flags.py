"""The flags of a search, and what is said of mistakes in them."""

import re
from pathlib import Path

import pytest

from glr_keras.config import DEMO, FitConfig
from tfrecords.common.console import UserError
from tuning.search import parse_flags, plan_search


def plan_of(*flags):
    return plan_search(*parse_flags(list(flags)))


def test_without_data_it_is_the_demo_with_its_defaults():
    plan, limit = plan_of()
    assert plan.base == FitConfig(**DEMO | {"data_dir": str(Path("data/demo"))})
    assert (plan.tuner, plan.objective, plan.direction) == (
        "random",
        "val_accuracy",
        "max",
    )
    assert limit == 40


def test_flags_of_fit_set_what_is_not_searched():
    plan, _ = plan_of("--data-dir", "d", "--epochs", "9", "--alpha", "0.5", "--seed", "7")
    assert (plan.base.epochs, plan.base.alpha, plan.base.seed) == (9, 0.5, 7)
    assert "alpha" not in [one.name for one in plan.dimensions]


@pytest.mark.parametrize(("flags", "limit"), [((), 45), (("--max-trials", "7"), 7)])
def test_the_grid_is_tried_whole(flags, limit):
    plan, found = plan_of("--alpha-beta-grid", *flags)
    assert (plan.tuner, found) == ("grid", limit)
    assert plan.dimensions[0].values == (0, 1, 2)


def test_seeds_of_the_grid_can_be_chosen():
    plan, limit = plan_of("--alpha-beta-grid", "--seeds", "5", "--seed", "3")
    assert (plan.dimensions[0].values, limit) == ((3, 4, 5, 6, 7), 75)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-trials", "0"], "--max-trials must be 1 or more, got 0."),
        (["--confirm", "-1"], "--confirm must be 0 or more, got -1."),
        (["--workers", "-2"], "--workers must be 0 or more, got -2."),
        (["--alpha-beta-grid", "--seeds", "0"], "--seeds must be 1 or more, got 0."),
        (["--space", "gamma"], "gamma is no hyperparameter. These can be searched: seed, head"),
        (["--alpha-beta-grid", "--space", "alpha"], "leave out --space and --tuner."),
        (["--alpha-beta-grid", "--head", "dropout"], "needs --head abn"),
        (["--alpha-beta-grid", "--beta", "2"], "searches beta: leave --beta out."),
        (["--seeds", "3"], "--seeds is of --alpha-beta-grid."),
        (["--seed", "2147483647", "--confirm", "1"], "--seed must be between 0 and 2147483647"),
        (["--tuner", "hyperband", "--epochs", "2"], "needs --epochs 3 or more, got 2"),
        (["--tuner", "hyperband", "--space", "epochs"], "leave epochs out of --space"),
        (["--tuner", "hyperband", "--epochs", "5", "--warmup-epochs", "2"], "warmup_epochs 2 is"),
        (["--epochs", "0"], "--epochs must be between 1 and 100000, got 0."),
        (["--config", "nowhere.json"], "No file nowhere.json"),
    ],
)
def test_a_mistake_is_reported(flags, message):
    with pytest.raises(UserError, match=re.escape(message)):
        plan_of(*flags)


def test_a_config_that_is_no_training_of_a_head_is_reported(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"live": true}')
    with pytest.raises(UserError, match="a search trains on stored features"):
        plan_of("--config", str(path))


@pytest.mark.parametrize("flag", ["--run-dir", "--live", "--finetune-from", "--distribute"])
def test_flags_that_are_no_matter_of_a_trial_are_not_there(flag, capsys):
    with pytest.raises(SystemExit):
        parse_flags([flag, "x"])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-trials", "0"], "--max-trials must be 1 or more, got 0."),
        (["--data-dir", "nowhere"], "Build them first with: python -m tfrecords.build"),
        (["--data-dir", "nowhere", "--workers", "2"], "Build them first with: python"),
        (["--tuner", "genetic"], "invalid choice: 'genetic'"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(run_python, tmp_path, flags, message):
    done = run_python("-m", "tuning.search", "--out", tmp_path / "out", *flags)
    assert done.returncode == 2
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "out").exists()
