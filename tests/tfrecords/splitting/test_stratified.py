"""Which split a photo goes to: sizes, seeds, and copies of one photo together."""

import random
import re
from itertools import chain

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS, Photo
from tfrecords.splitting.stratified import check_percentages, split_photos, split_sizes


def numbered(landmark, count):
    """Listed photos; the split never opens them."""
    return [Photo(f"{landmark}/{i:03}.jpg", landmark) for i in range(count)]


def ids(photos):
    return [photo.photo_id for photo in photos]


def sizes(splits):
    return tuple(len(splits[split]) for split in SPLITS)


def grouped(photos, *counts):
    """Calls the first photos group 0, the next ones group 1, and so on."""
    names = [f"group {number}" for number, count in enumerate(counts) for _ in range(count)]
    return dict(zip(ids(photos), names, strict=False))


def splits_of_groups(splits, groups):
    """Group name -> the splits that hold its photos."""
    found = {}
    for split, photos in splits.items():
        for photo in photos:
            if photo.photo_id in groups:
                found.setdefault(groups[photo.photo_id], set()).add(split)
    return found


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (2, 0, 0)),
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (6, (4, 1, 1)),
        (7, (5, 1, 1)),
        (8, (6, 1, 1)),
        (9, (7, 1, 1)),
        (10, (6, 2, 2)),
        (100, (70, 15, 15)),
    ],
)
def test_split_sizes(photos, expected):
    assert split_sizes(photos) == expected


def test_percentages_are_within_rounding_of_70_15_15():
    for photos in range(4, 1000):
        train, validation, test = split_sizes(photos)
        assert train + validation + test == photos
        assert abs(100 * validation - 15 * photos) <= 50, photos
        assert abs(100 * test - 15 * photos) <= 50, photos
        assert abs(100 * train - 70 * photos) <= 100, photos


@pytest.mark.parametrize(
    ("photos", "percentages", "expected"),
    [
        (100, (80, 10, 10), (80, 10, 10)),
        (100, (60, 30, 10), (60, 30, 10)),
        (1000, (1, 50, 49), (10, 500, 490)),
        (3, (1, 50, 49), (1, 1, 1)),
        (3, (1, 98, 1), (1, 1, 1)),
        (5, (1, 50, 49), (1, 2, 2)),
        (10, (98, 1, 1), (8, 1, 1)),
        (2, (34, 33, 33), (2, 0, 0)),
    ],
)
def test_split_sizes_of_other_percentages(photos, percentages, expected):
    assert split_sizes(photos, percentages) == expected


def test_every_photo_is_in_exactly_one_split():
    photos = numbered("a", 20) + numbered("b", 7)
    splits = split_photos(photos, seed=0)
    assert tuple(splits) == SPLITS
    assert sizes(splits) == (14 + 5, 3 + 1, 3 + 1)
    assert sorted(ids(chain(*splits.values()))) == ids(photos)
    assert all(ids(group) == sorted(ids(group)) for group in splits.values())


def test_landmarks_with_three_photos_are_in_all_splits_others_in_train_only():
    counts = {"one": 1, "two": 2, "three": 3, "four": 4, "thirty": 30}
    photos = [photo for name, count in counts.items() for photo in numbered(name, count)]
    for seed in range(10):
        splits = split_photos(photos, seed)
        landmarks = {split: {p.landmark_id for p in group} for split, group in splits.items()}
        assert landmarks == {
            "train": set(counts),
            "validation": {"three", "four", "thirty"},
            "test": {"three", "four", "thirty"},
        }


def test_split_does_not_depend_on_list_order():
    photos = numbered("a", 20) + numbered("b", 9)
    mixed = photos[1::2] + photos[::-2]
    assert sorted(ids(mixed)) == ids(photos)
    assert split_photos(mixed, seed=3) == split_photos(photos, seed=3)


def test_split_leaves_the_list_as_it_was():
    photos = numbered("b", 5) + numbered("a", 5)
    before = list(photos)
    split_photos(photos, seed=0)
    assert photos == before


def test_a_landmark_is_split_without_regard_to_the_others():
    alone = split_photos(numbered("a", 20), seed=0)
    together = split_photos(numbered("a", 20) + numbered("b", 9), seed=0)
    for split in SPLITS:
        assert [p for p in together[split] if p.landmark_id == "a"] == alone[split]


def test_another_seed_splits_otherwise():
    photos = numbered("a", 20)
    tests = {tuple(ids(split_photos(photos, seed)["test"])) for seed in range(10)}
    assert len(tests) >= 9


def test_the_split_of_seed_0_stays_as_it_was():
    """Numbers of earlier versions compare with those of later ones only on the same split."""
    splits = split_photos(numbered("a", 8), seed=0)
    assert ids(splits["validation"]) == ["a/006.jpg"]
    assert ids(splits["test"]) == ["a/000.jpg"]
    splits = split_photos(numbered("tower", 20), seed=7)
    assert ids(splits["validation"]) == ["tower/008.jpg", "tower/013.jpg", "tower/018.jpg"]
    assert ids(splits["test"]) == ["tower/007.jpg", "tower/012.jpg", "tower/015.jpg"]


def test_other_percentages():
    splits = split_photos(numbered("a", 50) + numbered("b", 3), seed=0, percentages=(60, 30, 10))
    assert sizes(splits) == (30 + 1, 15 + 1, 5 + 1)


def test_no_photos_no_splits():
    assert split_photos([], seed=0) == {"train": [], "validation": [], "test": []}


def test_groups_that_no_photo_is_in_change_nothing():
    photos = numbered("a", 20)
    plain = split_photos(photos, seed=0)
    assert split_photos(photos, seed=0, groups={}) == plain
    assert split_photos(photos, seed=0, groups={"b/000.jpg": "x", "b/001.jpg": "x"}) == plain


def test_a_group_is_never_divided():
    rng = random.Random(0)
    for seed in range(200):
        photos = numbered("a", rng.randint(3, 60)) + numbered("b", 30)
        counts = [rng.randint(2, 8) for _ in range(rng.randint(1, 12))]
        groups = grouped(photos[: len(photos) - 30], *counts)
        splits = split_photos(photos, seed, groups=groups)
        assert sorted(ids(chain(*splits.values()))) == ids(photos)
        assert all(len(found) == 1 for found in splits_of_groups(splits, groups).values()), seed


def test_groups_of_one_landmark_leave_the_others_as_they_were():
    photos = numbered("a", 20) + numbered("b", 20)
    plain = split_photos(photos, seed=0)
    splits = split_photos(photos, seed=0, groups=grouped(photos, 4, 4))
    for split in SPLITS:
        assert [p for p in splits[split] if p.landmark_id == "b"] == [
            p for p in plain[split] if p.landmark_id == "b"
        ]


def test_sizes_are_exact_where_single_photos_fill_the_capacity():
    photos = numbered("a", 100)
    for counts in [(2,), (60,), (5,) * 10, (30, 20, 20), (2,) * 30]:
        for seed in range(20):
            splits = split_photos(photos, seed, groups=grouped(photos, *counts))
            assert sizes(splits) == (70, 15, 15), (counts, seed)


def test_sizes_are_off_by_less_than_a_group_where_all_are_grouped():
    photos = numbered("a", 92)
    for seed in range(20):
        splits = split_photos(photos, seed, groups=grouped(photos, *[4] * 23))
        train, validation, test = sizes(splits)
        assert train == 64, seed  # of the 64 that are its share
        assert {validation, test} == {12, 16}, seed  # of 14 each


def test_groups_are_tested_as_often_as_single_photos():
    """If test held single photos only, it would be another kind of photo than train."""
    photos = numbered("a", 100)
    groups = grouped(photos, *[2] * 10)
    splits_found = [
        next(iter(found))
        for seed in range(200)
        for found in splits_of_groups(split_photos(photos, seed, groups=groups), groups).values()
    ]
    assert len(splits_found) == 2000
    for split, share in zip(SPLITS, (0.70, 0.15, 0.15), strict=True):
        assert splits_found.count(split) / len(splits_found) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(
    ("photos", "counts", "expected"),
    [
        (2, (2,), {(2, 0, 0)}),  # one unit
        (5, (5,), {(5, 0, 0)}),
        (6, (5,), {(6, 0, 0)}),  # two units
        (10, (5, 5), {(10, 0, 0)}),
        (4, (2,), {(2, 1, 1)}),  # three units
        (12, (10,), {(10, 1, 1)}),
        (15, (5, 5, 5), {(5, 5, 5)}),
        (11, (5, 5), {(5, 5, 1), (5, 1, 5)}),
        (6, (2, 2, 2), {(2, 2, 2)}),
        (30, (24, 2, 2, 2), {(24, 4, 2), (24, 2, 4), (26, 2, 2)}),
    ],
)
def test_landmarks_with_three_different_photos_are_in_all_splits(photos, counts, expected):
    photos = numbered("a", photos)
    found = {
        sizes(split_photos(photos, seed, groups=grouped(photos, *counts))) for seed in range(30)
    }
    assert found <= expected


def test_three_units_fill_all_splits_whatever_their_sizes():
    rng = random.Random(1)
    for seed in range(300):
        counts = [rng.choice((1, 2, 3, 10, 40)) for _ in range(rng.randint(3, 9))]
        photos = numbered("a", sum(counts))
        splits = split_photos(photos, seed, groups=grouped(photos, *counts))
        assert min(sizes(splits)) > 0, counts


def test_a_group_of_one_is_a_single_photo():
    photos = numbered("a", 20)
    splits = split_photos(photos, seed=0, groups=grouped(photos, *[1] * 20))
    assert splits == split_photos(photos, seed=0)


def test_groups_do_not_depend_on_list_order_or_on_their_names():
    photos = numbered("a", 40)
    groups = grouped(photos, 3, 2, 5, 4, 2, 2)
    splits = split_photos(photos, seed=5, groups=groups)
    assert split_photos(photos[::-1], seed=5, groups=groups) == splits
    renamed = {photo_id: name[::-1] for photo_id, name in reversed(groups.items())}
    assert split_photos(photos, seed=5, groups=renamed) == splits


def test_a_group_of_two_landmarks_is_refused():
    photos = numbered("a", 3) + numbered("b", 3)
    groups = {"a/000.jpg": "x", "b/000.jpg": "x"}
    expected = (
        "Expected groups within one landmark, got 'x' with photos of 'a' and 'b'. Drop copies that "
        "have two landmarks first."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        split_photos(photos, seed=0, groups=groups)


@pytest.mark.parametrize(
    ("percentages", "got"),
    [
        ((70, 15, 10), "70 15 10"),
        ((70, 15, 20), "70 15 20"),
        ((70, 30), "70 30"),
        ((70, 10, 10, 10), "70 10 10 10"),
        ((85, 15, 0), "85 15 0"),
        ((120, -10, -10), "120 -10 -10"),
        ((0.7, 0.15, 0.15), "0.7 0.15 0.15"),
        ((33.4, 33.3, 33.3), "33.4 33.3 33.3"),
        ((), ""),
    ],
)
def test_percentages_that_are_no_three_percentages(percentages, got):
    expected = (
        "Expected three whole percentages above 0 for train, validation and test that sum to 100, "
        f"as in --split 70 15 15; got {got}."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        check_percentages(percentages)
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        split_photos(numbered("a", 5), seed=0, percentages=percentages)


def test_good_percentages_pass():
    check_percentages((70, 15, 15))
    check_percentages((98, 1, 1))
