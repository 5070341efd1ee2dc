"""The directory of a search: who may work in it, and what is in the way."""

import contextlib
import json

import pytest
from search_trials import plan_of

from tfrecords.common.console import UserError
from tfrecords.common.files import TEMPORARY
from tuning import store
from tuning.space import Dimension
from tuning.store import SearchDir, TrialDir

PLAN = plan_of([Dimension("alpha", (0.0, 1.0))])
OTHER = plan_of([Dimension("alpha", (0.0, 0.5))])
INPUTS = {"records": "0" * 64, "backbone_weights": "1" * 64, "precision": "float32"}


def test_a_directory_is_made_and_held(tmp_path):
    search = SearchDir(tmp_path / "a" / "out")
    with (
        search.locked(PLAN),
        pytest.raises(UserError, match=r"Another process is at work in .*/a/out. .* another --out"),
        search.locked(PLAN),
    ):
        pass
    with search.locked(PLAN):
        pass


def test_a_folder_of_something_else_is_left_as_it_was(tmp_path):
    (tmp_path / "notes.txt").touch()
    with (
        pytest.raises(UserError, match=r"is not empty and holds no search \(notes.txt...\)"),
        SearchDir(tmp_path).locked(PLAN),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_kill_before_the_search_was_stored_leaves_nothing_in_the_way(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / f"{TEMPORARY}0123.json").write_text("{")
    with SearchDir(tmp_path).locked(PLAN):
        pass


def test_what_a_killed_process_left_is_deleted(tmp_path):
    search = SearchDir(tmp_path)
    trial = search.trial("0000")
    folders = (search.path, search.trials, search.figure("a").parent, trial.path)
    search.bind(PLAN, INPUTS)
    trial.path.mkdir(parents=True)
    for folder in folders:
        (folder / f"{TEMPORARY}0123456789abcdef.json").touch()
    with search.locked(PLAN):
        assert [list(one.glob(f"{TEMPORARY}*")) for one in folders[:3]] == [[], [], []]
        assert len(list(trial.path.glob(f"{TEMPORARY}*"))) == 1  # a worker may be writing it
    trial.count_start()
    assert not list(tmp_path.rglob(f"{TEMPORARY}*"))


def test_a_search_that_another_process_began_meanwhile_is_not_joined(tmp_path, monkeypatch):
    search = SearchDir(tmp_path)

    @contextlib.contextmanager
    def locked(path, message):  # after the other process has ended
        search.bind(OTHER, INPUTS)
        yield

    monkeypatch.setattr(store, "locked", locked)
    with (
        pytest.raises(UserError, match=r"another search: space of alpha was \[0.0, 0.5\], now"),
        search.locked(PLAN),
    ):
        pass
    assert search.read_plan()["space"]["alpha"]["values"] == [0.0, 0.5]


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"Can't write to .*/file/out \(Not a directory\)"),
        SearchDir(tmp_path / "file" / "out").locked(PLAN),
    ):
        pass


def test_a_file_is_no_search(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="out is a file"):
        SearchDir(tmp_path / "out").check(PLAN)


def test_a_damaged_search_is_one_message(tmp_path):
    (tmp_path / "search.json").write_text('{"tuner": ')
    with pytest.raises(UserError, match=r"search.json is damaged .* Name another --out"):
        SearchDir(tmp_path).check(PLAN)


def test_a_search_of_an_earlier_version_is_not_continued_with_new_defaults(tmp_path):
    search = SearchDir(tmp_path)
    plan = PLAN.to_json() | INPUTS
    del plan["base"]["answer"]
    search.plan.write_text(json.dumps(plan))
    with pytest.raises(UserError, match="another search: answer was 'perception', now 'combined'"):
        search.check(PLAN)


def test_records_may_be_moved(tmp_path):
    search = SearchDir(tmp_path)
    plan = PLAN.to_json() | INPUTS
    plan["base"]["data_dir"] = "elsewhere"
    search.plan.write_text(json.dumps(plan))
    search.check(PLAN, INPUTS)
    with pytest.raises(UserError, match="records were 000000000000, now 222222222222"):
        search.check(PLAN, INPUTS | {"records": "2" * 64})


def test_a_trial_that_ends_its_process_again_and_again_is_counted(tmp_path):
    run = TrialDir(tmp_path / "trial_0000")
    assert [run.count_start() for _ in range(3)] == [1, 2, 3]
    run.forget_start()
    assert run.count_start() == 1
