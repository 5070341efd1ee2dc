"""What a build reports at its end."""

from pathlib import Path

import pytest

from tfrecords.common.types import Photo, Skipped
from tfrecords.records.summary import print_summary
from tfrecords.sources.source import FileReader, Source
from tfrecords.splitting.assignment import Assignment

NAMES = {"1": "北京故宫", "2": "Long_name_" * 4, "3": "gate"}


@pytest.fixture
def summarise(capsys):
    """Prints the summary of photos of landmarks in train only; returns its lines."""

    def summarise_kept(landmark_ids, names=NAMES, **changed):
        photos = [Photo(f"{number}", one) for number, one in enumerate(landmark_ids)]
        splits = {"train": photos, "validation": [], "test": []}
        values = {"skipped": [], "groups": {}, "percentages": None, "conflicts": []} | changed
        source = Source("folder", photos, [], FileReader())
        assignment = Assignment(splits, **values)
        print_summary(assignment, names, assignment.counts["train"], source, Path("out"))
        return capsys.readouterr().out.splitlines()

    return summarise_kept


def test_columns_are_straight_for_any_script(summarise):
    lines = summarise("1223")
    assert lines[1:6] == [
        "landmark                               read       kept      train validation       test",
        "Long_name_Long_name_Long_name_L…          2          2          2          0          0",
        "gate                                      1          1          1          0          0",
        "北京故宫                                  1          1          1          0          0",
        "all                                       4          4          4          0          0",
    ]


def test_many_landmarks_are_counted_and_not_listed(summarise):
    names = {f"{number}": f"name {number:02}" for number in range(33)}
    lines = summarise(list(names), names)
    assert lines[31].startswith("name 29")
    assert lines[32] == "... and 3 landmarks more, in landmarks.csv"
    assert lines[33].split() == ["all", "33", "33", "33", "0", "0"]


def test_what_two_landmarks_cost_is_reported(summarise):
    skipped = [Skipped(f"x{number}", "two landmarks") for number in range(7)]
    lines = summarise("12", skipped=skipped, conflicts=[2, 5])
    assert lines[-2] == (
        "7 photos, in 2 clusters of copies, have a copy under another landmark and are left out; "
        "the largest cluster lost 5."
    )
    assert not [line for line in summarise("12") if "cluster" in line]


def test_near_duplicates_are_counted(summarise):
    lines = summarise("11", groups={"0": "0", "1": "0"})
    assert "2 photos are near-duplicates, in 1 groups; a group stays in one split." in lines
