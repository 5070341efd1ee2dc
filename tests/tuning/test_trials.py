"""The trials of a search, read from its directory: their order, their table, their checkpoints."""

import dataclasses
import shutil

from search_trials import OBJECTIVE, plan_of, read_csv, trial_of, write_trial

from tuning.space import Dimension
from tuning.store import SearchDir
from tuning.trials import (
    CheckpointKeeper,
    TrialTable,
    best_first,
    read_trials,
    show_value,
)

ALPHA = Dimension("alpha", (0.0, 0.5, 1.0))
BETA = Dimension("beta", (0.0, 1.0))


def test_the_best_is_first_and_ties_go_to_the_earlier():
    trials = [trial_of(0, 0.5), trial_of(1, 0.7), trial_of(2, None), trial_of(3, 0.7)]
    assert [one.trial_id for one in best_first(trials, "max")] == ["0001", "0003", "0000"]
    assert [one.trial_id for one in best_first(trials, "min")] == ["0000", "0001", "0003"]


def test_trials_stay_in_the_order_of_their_numbers_beyond_9999(tmp_path):
    search, plan = SearchDir(tmp_path), plan_of([ALPHA])
    for number in (9999, 10000, 2):
        write_trial(search, trial_of(number, 0.5, alpha=0.5))
    trials = read_trials(search, plan)
    assert [one.number for one in trials] == [2, 9999, 10000]
    assert [one.number for one in best_first(trials, "max")] == [2, 9999, 10000]


def test_what_is_written_is_read(tmp_path):
    search = SearchDir(tmp_path)
    trial = trial_of(3, 0.8, alpha=0.5, head_units=(8, 8))
    write_trial(search, trial)
    units = Dimension("head_units", ((8, 8), ()))
    assert read_trials(search, plan_of([ALPHA, units])) == [trial]


def test_a_trial_that_fit_config_refuses_is_read(tmp_path):
    search = SearchDir(tmp_path)
    refused = dataclasses.replace(trial_of(0, None), values={"alpha": 0.0, "beta": 0.0})
    write_trial(search, refused)
    (trial,) = read_trials(search, plan_of([ALPHA, BETA]))
    assert (trial.status, trial.values, trial.config) == ("failed", refused.values, None)
    assert TrialTable(search, plan_of([ALPHA, BETA])).trials == [trial]


def test_a_trial_that_was_killed_just_before_its_end_was_stored_is_running(tmp_path):
    search = SearchDir(tmp_path)
    trial = dataclasses.replace(trial_of(0, 0.5, alpha=0.5), result={})
    write_trial(search, trial, status="COMPLETED")
    assert [one.status for one in read_trials(search, plan_of([ALPHA]))] == ["running"]


def test_the_table_leaves_empty_what_a_trial_does_not_have(tmp_path):
    search = SearchDir(tmp_path)
    plan = plan_of([Dimension("optimizer", ("sgd", "adam")), Dimension("momentum", (0.0, 0.9))])
    write_trial(search, trial_of(0, 0.8, optimizer="sgd", momentum=0.9))
    write_trial(search, trial_of(1, None, optimizer="adam"))
    TrialTable(search, plan)
    header, first, second = search.table.read_text().splitlines()
    assert header == (
        "trial,status,val_accuracy,best_epoch,epochs,optimizer,momentum,seconds,"
        "seconds_building,seconds_tracing,seconds_training,seconds_writing,"
        "val_accuracy_1,reason"
    )
    assert first == "0000,completed,0.8,1,1,sgd,0.9,3.0,1.0,,2.0,,0.8,"
    assert second == "0001,failed,,,0,adam,,,,,,,,the loss is not a finite number"


def test_a_table_has_every_accuracy_of_every_epoch(tmp_path):
    search = SearchDir(tmp_path)
    history = [
        {"epoch": epoch, OBJECTIVE: 0.1 * epoch, "val_attention_accuracy": 0.5, "val_loss": 9.0}
        for epoch in (1, 2)
    ]
    write_trial(search, dataclasses.replace(trial_of(0, 0.2, epochs=2), history=history))
    TrialTable(search, plan_of([Dimension("epochs", (2, 3))]))
    (row,) = read_csv(search.table)
    shown = {name: row[name] for name in row if name.startswith("val_")}
    assert shown == {
        OBJECTIVE: "0.2",
        "val_attention_accuracy_1": "0.5",
        "val_attention_accuracy_2": "0.5",
        f"{OBJECTIVE}_1": "0.1",
        f"{OBJECTIVE}_2": "0.2",
    }


def test_a_trial_that_ends_costs_the_reading_of_its_own_directory(tmp_path):
    search = SearchDir(tmp_path)
    table = TrialTable(search, plan_of([ALPHA]))
    trials = [
        trial_of(0, 0.5, alpha=0.0),
        trial_of(1, None, alpha=1.0),
        trial_of(2, 0.7, alpha=1.0),
    ]
    for trial in trials:
        write_trial(search, trial)
        assert table.add(trial.trial_id) == trial
        shutil.rmtree(search.trials)  # so that nobody can read it again
    assert (table.trials, len(table), table.best) == (trials, 3, trials[2])
    assert [row["trial"] for row in read_csv(search.table)] == ["0000", "0001", "0002"]


def test_a_trial_that_ends_twice_is_one(tmp_path):
    search = SearchDir(tmp_path)
    write_trial(search, trial_of(0, None, alpha=0.5))
    table = TrialTable(search, plan_of([ALPHA]))
    shutil.rmtree(search.trials)
    write_trial(search, trial_of(0, 0.5, alpha=0.5))
    table.add("0000")
    assert [row["status"] for row in read_csv(search.table)] == ["completed"]


def kept_of(search, keeper, trials, **settings):
    for trial in trials:
        write_trial(search, trial)
        keeper.add(trial, **settings)
    return sorted(int(path.parent.name[6:]) for path in search.trials.glob("*/checkpoint"))


def test_checkpoints_of_the_best_three_of_as_many_epochs_are_kept(tmp_path):
    search = SearchDir(tmp_path)
    keeper = CheckpointKeeper(search, plan_of([ALPHA]))
    trials = [
        trial_of(number, score) for number, score in enumerate((0.1, 0.4, 0.4, 0.3, 0.4, 0.2))
    ]
    assert kept_of(search, keeper, [*trials, trial_of(6, 0.0, epochs=1)]) == [1, 2, 4, 6]


def test_hyperband_keeps_the_third_that_it_may_resume(tmp_path):
    search = SearchDir(tmp_path)
    keeper = CheckpointKeeper(search, plan_of([ALPHA], tuner="hyperband"))
    trials = [trial_of(number, number / 100) for number in range(12)]
    assert kept_of(search, keeper, trials) == [8, 9, 10, 11]


def test_a_checkpoint_that_is_being_read_is_kept(tmp_path):
    search = SearchDir(tmp_path)
    keeper = CheckpointKeeper(search, plan_of([ALPHA]))
    trials = [trial_of(number, 0.5 + number / 10) for number in range(5)]
    assert kept_of(search, keeper, trials[:4], in_use=["0000"]) == [0, 1, 2, 3]
    assert kept_of(search, keeper, trials[4:]) == [2, 3, 4]


def test_values_are_readable():
    values = [(512, 512), (), 0.25, "sgd", 3, True]
    assert [show_value(value) for value in values] == [
        "512 512",
        "none",
        "0.25",
        "sgd",
        "3",
        "True",
    ]
