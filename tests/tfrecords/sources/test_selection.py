"""Which landmarks are taken, how many photos of each, and files that name landmarks."""

import csv
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from paths import SHARED

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo
from tfrecords.sources.selection import (
    Choice,
    choose_landmarks,
    landmark_order,
    read_landmarks_file,
)

COUNTS_2018 = SHARED / "data/gldv1_counts.csv"
SIZES = {"9": 5, "10": 3, "2": 3, "7": 1, "8": 4}


def listed(sizes):
    return [Photo(f"{name}-{i}", name) for name, size in sizes.items() for i in range(size)]


def chosen(**arguments):
    """Landmarks that are taken of SIZES, by rank."""
    choice = choose_landmarks(listed(SIZES), **arguments)
    counts = Counter(photo.landmark_id for photo in choice.photos)
    assert all(counts[name] == SIZES[name] for name in counts)
    assert choice.over_limit == []
    return sorted(counts, key=lambda name: (-counts[name], int(name)))


def refused(message, **arguments):
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        choose_landmarks(listed(SIZES), **arguments)


def test_all_landmarks_without_a_choice():
    photos = listed({"b": 2, "a": 1})
    assert choose_landmarks(photos) == Choice(
        photos=[Photo("a-0", "a"), Photo("b-0", "b"), Photo("b-1", "b")],
        over_limit=[],
        listed=Counter({"a": 1, "b": 2}),
    )


def test_top_takes_those_of_most_photos_and_of_equals_the_lower_number():
    assert chosen(top=2) == ["9", "8"]
    assert chosen(top=3) == ["9", "8", "2"]
    assert chosen(top=4) == ["9", "8", "2", "10"]


def test_skip_top_leaves_out_the_largest():
    assert chosen(skip_top=1) == ["8", "2", "10", "7"]
    assert chosen(skip_top=1, top=2) == ["8", "2"]
    assert chosen(skip_top=2, top=2) == ["2", "10"]


def test_top_beyond_what_is_listed_takes_all():
    assert chosen(top=100) == ["9", "8", "2", "10", "7"]


def test_min_photos_leaves_out_small_landmarks():
    assert chosen(min_photos=3) == ["9", "8", "2", "10"]
    assert chosen(min_photos=4) == ["9", "8"]


def test_a_landmark_of_many_photos_may_give_few():
    photos = choose_landmarks(listed(SIZES), min_photos=4, max_photos=2).photos
    assert sorted(photo.landmark_id for photo in photos) == ["8", "8", "9", "9"]


def test_min_photos_does_not_move_the_ranks():
    assert chosen(skip_top=1, top=4, min_photos=3) == ["8", "2", "10"]


def test_landmarks_by_name():
    assert chosen(landmarks=["7", "9"]) == ["9", "7"]
    assert chosen(landmarks=["7", "9", "2"], min_photos=2) == ["9", "2"]


def test_listed_counts_the_whole_list():
    assert choose_landmarks(listed(SIZES), top=2, max_photos=1).listed == Counter(SIZES)


def test_numbers_come_before_names_and_by_value():
    names = ["b", "10", "a", "9", "007", "7", "Ü", "١٢", "²"]
    assert sorted(names, key=landmark_order) == [
        "007",
        "7",
        "9",
        "10",
        "١٢",  # 12
        "a",
        "b",
        "²",
        "Ü",
    ]


def test_of_equal_landmarks_names_rank_by_letter():
    photos = listed({"tower": 2, "bridge": 2, "10": 2, "9": 2})
    assert {p.landmark_id for p in choose_landmarks(photos, top=3).photos} == {"9", "10", "bridge"}


def test_max_photos_of_each_landmark():
    choice = choose_landmarks(listed(SIZES), max_photos=3)
    assert Counter(photo.landmark_id for photo in choice.photos) == {
        "9": 3,
        "10": 3,
        "2": 3,
        "7": 1,
        "8": 3,
    }
    assert Counter(photo.landmark_id for photo in choice.over_limit) == {"9": 2, "8": 1}
    ids = [photo.photo_id for photo in choice.photos]
    over = [photo.photo_id for photo in choice.over_limit]
    assert (ids, over) == (sorted(ids), sorted(over))
    assert sorted(ids + over) == sorted(photo.photo_id for photo in listed(SIZES))


def test_over_limit_holds_chosen_landmarks_only():
    choice = choose_landmarks(listed(SIZES), top=2, max_photos=4)
    assert [photo.landmark_id for photo in choice.over_limit] == ["9"]


def test_a_higher_limit_keeps_the_photos_of_a_lower_one():
    photos = listed({"a": 30, "b": 20})
    before = set()
    for limit in range(1, 31):
        ids = {photo.photo_id for photo in choose_landmarks(photos, max_photos=limit).photos}
        assert before < ids
        before = ids


def test_what_is_drawn_depends_on_the_seed_not_on_the_order():
    photos = listed({"a": 30, "b": 20})
    draws = [choose_landmarks(photos, max_photos=5, seed=seed) for seed in range(5)]
    assert len({tuple(choice.photos) for choice in draws}) == 5
    mixed = photos[1::2] + photos[::2]
    assert [choose_landmarks(mixed, max_photos=5, seed=seed) for seed in range(5)] == draws


def test_a_landmark_s_draw_does_not_depend_on_the_others():
    alone = choose_landmarks(listed({"a": 30, "b": 20}), max_photos=5).photos
    others = choose_landmarks(listed({"c": 9, "a": 30, "b": 20}), max_photos=5).photos
    assert [photo for photo in others if photo.landmark_id != "c"] == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 0}, "--top must be at least 1, got 0."),
        ({"skip_top": -1}, "--skip-top must be at least 0, got -1."),
        ({"min_photos": 0}, "--min-photos must be at least 1, got 0."),
        ({"max_photos": 0}, "--max-photos must be at least 1, got 0."),
        (
            {"landmarks": ["9", "8"], "top": 2},
            "Expected --landmarks or --top and --skip-top, got both. Drop one of them.",
        ),
        (
            {"landmarks": ["9", "8"], "skip_top": 2},
            "Expected --landmarks or --top and --skip-top, got both. Drop one of them.",
        ),
    ],
)
def test_numbers_that_make_no_sense(arguments, message):
    refused(message, **arguments)


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({"skip_top": 5}, "0 of the 5 listed with --skip-top 5"),
        ({"skip_top": 4}, "1 of the 5 listed with --skip-top 4"),
        ({"top": 1}, "1 of the 5 listed with --top 1"),
        (
            {"top": 3, "skip_top": 2, "min_photos": 4},
            "0 of the 5 listed with --top 3 --skip-top 2 --min-photos 4",
        ),
        ({"min_photos": 6}, "0 of the 5 listed with --min-photos 6"),
        ({"landmarks": ["9"]}, "1 of the 5 listed with --landmarks"),
        ({"landmarks": []}, "0 of the 5 listed with --landmarks"),
        (
            {"landmarks": ["9", "2"], "min_photos": 4},
            "1 of the 5 listed with --landmarks --min-photos 4",
        ),
    ],
)
def test_fewer_than_two_landmarks_left(arguments, got):
    refused(
        f"Expected at least two landmarks, got {got}. Choose more (the largest has 5 photos).",
        **arguments,
    )


@pytest.mark.parametrize("arguments", [{}, {"top": 5}])
def test_a_list_of_one_landmark(arguments):
    with pytest.raises(
        UserError, match=r"^Expected at least two landmarks, got 1 of the 1 listed\. Add photos"
    ):
        choose_landmarks(listed({"a": 3}), **arguments)


def test_landmarks_that_are_not_listed_are_named():
    refused(
        "2 of the 4 landmarks of --landmarks have no photo here: 11, no such. Expected ids that "
        "the photos have: delete these lines, or name the index they are from.",
        landmarks=["9", "11", "8", "no such"],
    )


def test_of_many_landmarks_that_are_not_listed_five_are_named():
    with pytest.raises(
        UserError, match=r"^7 of the 8 .* have no photo here: 20, 21, 22, 23, 24, \.\.\.\. Expected"
    ):
        choose_landmarks(listed(SIZES), landmarks=["9", *map(str, range(20, 27))])


def written(tmp_path, text):
    path = tmp_path / "landmarks.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9\n10\n2", ["9", "10", "2"]),
        ("# mine\n\n  9  \n#8\n10\n\n", ["9", "10"]),
        ("\ufefflandmark_id\r\n9\r\n10\r\n", ["9", "10"]),
        ("9\n10\n9\n", ["9", "10"]),
        ("Notre Dame, Paris\nTower #2\n", ["Notre Dame, Paris", "Tower #2"]),
        ("landmark_id\nNotre Dame, Paris\n", ["Notre Dame, Paris"]),
        ("故宫\n", ["故宫"]),
        ("landmark_id,photos\n9633,49091\n\n6051,48949\n", ["9633", "6051"]),
        ('label,landmark_id,name\n0,9,"Tower, old"\n1,10,Bridge\n', ["9", "10"]),
    ],
)
def test_files_of_landmarks(text, expected, tmp_path):
    assert read_landmarks_file(written(tmp_path, text)) == expected


@pytest.mark.parametrize("text", ["", "\n\n", "# none\n", "landmark_id\n", "landmark_id,photos\n"])
def test_a_file_without_landmarks(text, tmp_path):
    path = written(tmp_path, text)
    expected = f"{path} names no landmark. Expected one landmark_id per line."
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        read_landmarks_file(path)


def test_a_row_of_a_file_of_landmarks_that_is_too_short(tmp_path):
    path = written(tmp_path, "photos,landmark_id\n3,9\n4\n")
    with pytest.raises(
        UserError,
        match=r"landmarks\.txt, line 3: expected 2 fields, got 1\. Correct or delete that",
    ):
        read_landmarks_file(path)


def test_a_file_of_landmarks_that_is_not_there(tmp_path):
    expected = (
        f"Can't read {tmp_path}/x (No such file or directory). Expected a file with a landmark_id "
        "per line, or report27."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        read_landmarks_file(tmp_path / "x")
    with pytest.raises(UserError, match=r"Can't read .* \(Is a directory\)"):
        read_landmarks_file(tmp_path)


def test_a_file_of_landmarks_that_is_no_utf8(tmp_path):
    path = written(tmp_path, b"caf\xe9\n")
    with pytest.raises(UserError, match=r"landmarks\.txt: expected UTF-8, got other bytes"):
        read_landmarks_file(path)


def test_report27_names_the_file_that_ships():
    landmarks = read_landmarks_file("report27")
    assert landmarks == read_landmarks_file(Path("report27"))
    assert len(landmarks) == 27
    assert landmarks == sorted(landmarks, key=int)
    assert not {"9633", "6051", "6599"} & set(landmarks)
    text = (files("tfrecords.sources") / "report27.txt").read_text()
    assert text.startswith("# The 27 landmarks of the student report")


def test_a_file_called_report27_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("report27").write_text("5\n")
    assert read_landmarks_file("report27") == ["5"]


def test_report27_is_what_the_report_chose():
    if not COUNTS_2018.exists():
        pytest.skip("needs the photo counts of the 2018 index, which don't ship")
    with open(COUNTS_2018, newline="") as file:
        counts = {row["landmark_id"]: int(row["photos"]) for row in csv.DictReader(file)}
    photos = [photo for name, count in counts.items() for photo in [Photo(name, name)] * count]
    by_rank = choose_landmarks(photos, skip_top=3, top=27)
    by_name = choose_landmarks(photos, landmarks=read_landmarks_file("report27"))
    assert by_rank == by_name
    assert len(by_rank.photos) == 176358
