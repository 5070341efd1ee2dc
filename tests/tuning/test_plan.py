"""Which plans of a search make no sense."""

import dataclasses

import pytest
from search_trials import BASE, plan_of

from glr_keras.config import OBJECTIVE
from glr_keras.models.heads import HEADS
from tfrecords.common.console import UserError
from tuning.plan import check_objective
from tuning.space import Dimension, alpha_beta_grid
from tuning.trial import reported_metrics

SMOOTHING = Dimension("label_smoothing", (0.0, 0.1))


def test_an_abn_reports_its_answer_and_both_branches():
    assert reported_metrics(BASE) == {
        *("val_loss", "val_accuracy", "val_top5", "val_cross_entropy"),
        *(f"val_attention_{name}" for name in ("accuracy", "top5", "loss")),
        *(f"val_perception_{name}" for name in ("accuracy", "top5", "loss")),
    }


@pytest.mark.parametrize("head", HEADS)
def test_every_head_reports_the_default_objective(head):
    config = dataclasses.replace(BASE, head=head)
    check_objective(plan_of([SMOOTHING], OBJECTIVE), reported_metrics(config))


@pytest.mark.parametrize(
    ("objective", "reported", "message"),
    [
        ("val_loss", {"val_loss", "val_x"}, "val_loss is no objective: alpha and beta scale it"),
        ("accuracy", {"val_b", "val_a"}, "not report 'accuracy'. Expected one of val_a, val_b."),
    ],
)
def test_an_objective_that_cannot_rank_trials_is_refused(objective, reported, message):
    with pytest.raises(UserError, match=message):
        check_objective(plan_of([SMOOTHING], objective), reported)


def test_unused_seeds_are_above_all_of_the_search():
    assert plan_of([SMOOTHING]).unused_seeds(2) == [1, 2]
    assert plan_of(alpha_beta_grid([4, 9, 5])).unused_seeds(3) == [10, 11, 12]
    assert plan_of([Dimension("seed", low=0, high=50)]).unused_seeds(1) == [51]
    with pytest.raises(UserError, match="--seed must be between 0 and 2147483647, got 2147483648"):
        plan_of([Dimension("seed", (2**31 - 2,))]).unused_seeds(2)
