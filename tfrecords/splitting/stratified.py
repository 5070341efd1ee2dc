"""Which split each photo goes to: stratified by landmark, seeded, near-duplicates together."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain
from operator import attrgetter

from tfrecords.common.console import UserError
from tfrecords.common.cyclic_gc import cyclic_gc_paused
from tfrecords.common.types import SPLITS, Photo

PERCENTAGES = (70, 15, 15)  # as in the report this project started from
MIN_FOR_SPLIT = 3  # photos (copies of one counted once) a landmark needs to be in all splits


@cyclic_gc_paused()
def split_photos(
    photos: Sequence[Photo],
    seed: int,
    percentages: Sequence[int] = PERCENTAGES,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[Photo]]:
    """Splits photos into train, validation and test, landmark by landmark.

    A photo's split depends on its id, its landmark's other ids, its group and the seed: never on
    the order of the list or of the disk, nor on what a group is called. A landmark with at least 3
    photos is in all three splits; one with fewer is in train only. A group counts as one photo
    there, and stays in one split, so groups can move a landmark's sizes away from the percentages.

    Args:
        photos: Photos that are known to be good.
        seed: Int; another seed splits otherwise.
        percentages: Of train, validation and test.
        groups: Dict from photo_id to the name of its group, for photos that have near-duplicates;
            all of a group are photos of one landmark.

    Returns:
        Dict from split name to photos, sorted by photo_id.

    Raises:
        UserError: `percentages` are no three positive numbers with sum 100.
        ValueError: a group holds photos of two landmarks.
    """
    check_percentages(percentages)
    groups = groups or {}
    _check_groups(photos, groups)
    photos = sorted(photos, key=attrgetter("photo_id"))
    hashes = array("Q")  # an array: 4 million int objects would take 250 MB
    by_landmark: dict[str, array] = defaultdict(partial(array, "I"))  # places in `photos`
    for place, photo in enumerate(photos):
        hashes.append(seeded_hash(photo.photo_id, seed))
        by_landmark[photo.landmark_id].append(place)
    split_indices = bytearray(len(photos))  # 0, 1, 2 for train, validation, test
    for places in by_landmark.values():
        shuffled = sorted(places, key=hashes.__getitem__)
        for index, part in enumerate(_split_landmark(shuffled, photos, groups, seed, percentages)):
            for place in part:
                split_indices[place] = index
    splits: list[list[Photo]] = [[], [], []]
    for photo, index in zip(photos, split_indices, strict=True):  # in order; sorting takes longer
        splits[index].append(photo)
    return dict(zip(SPLITS, splits, strict=True))


def split_sizes(photos: int, percentages: Sequence[int] = PERCENTAGES) -> tuple[int, int, int]:
    """Returns how many of a landmark's `photos` go to train, validation and test."""
    if photos < MIN_FOR_SPLIT:
        return photos, 0, 0
    validation, test = (max(1, round(photos * percent / 100)) for percent in percentages[1:])
    while validation + test >= photos:  # 1 50 49 would leave train without a photo
        if validation > test:
            validation -= 1
        else:
            test -= 1
    return photos - validation - test, validation, test


def check_percentages(percentages: Sequence[int]) -> None:
    """Raises UserError unless these are three whole percentages above 0 with sum 100."""
    whole = all(isinstance(percent, int) for percent in percentages)
    if len(percentages) != 3 or not whole or min(percentages) <= 0 or sum(percentages) != 100:
        got = " ".join(map(str, percentages))
        raise UserError(
            "Expected three whole percentages above 0 for train, validation and test that sum to "
            f"100, as in --split {' '.join(map(str, PERCENTAGES))}; got {got}."
        )


def seeded_hash(photo_id: str, seed: int | str) -> int:
    """Returns a number below 2**64; sorted by it, photos are shuffled as `seed` says."""
    return int.from_bytes(blake2b(f"{seed}/{photo_id}".encode(), digest_size=8).digest())


def _check_groups(photos, groups):
    landmarks = {}
    for photo in photos if groups else ():
        if name := groups.get(photo.photo_id):
            first = landmarks.setdefault(name, photo.landmark_id)
            if first != photo.landmark_id:
                raise ValueError(
                    f"Expected groups within one landmark, got {name!r} with photos of {first!r} "
                    f"and {photo.landmark_id!r}. Drop copies that have two landmarks first."
                )


def _split_landmark(places, photos, groups, seed, percentages):
    """Returns the places of train, validation and test among one landmark's shuffled `places`."""
    sizes = split_sizes(len(places), percentages)
    names = [groups.get(photos[place].photo_id) for place in places] if groups else ()
    if not any(names):
        return _slice(places, sizes)
    members = defaultdict(list)  # a photo without a group is one by itself
    for place, name in zip(places, names, strict=True):
        members[name or place].append(place)
    units = list(members.values())
    if len(units) < MIN_FOR_SPLIT:
        return places, (), ()

    def preferred_split(unit):
        return _hashed_split(photos[unit[0]].photo_id, seed, percentages)

    assigned = assign_groups(units, sizes, preferred_split)
    return [chain.from_iterable(units) for units in assigned]


def assign_groups(
    groups: Sequence[list], capacity: Sequence[int], preferred_split: Callable[[list], int]
) -> list[list[list]]:
    """Assigns the groups of one landmark to splits: greedy bin packing, largest group first.

    A group goes to its preferred split; where it does not fit, to the split with the most capacity
    left. Single photos come last: in their order they fill what is left, so that the sizes are
    exact wherever there are enough of them. At the end a split that is still empty takes the
    smallest group of the largest split that has more than one.

    Args:
        groups: Lists of photos, at least three; those of one photo are single photos.
        capacity: Ints, photos that each split should hold; their sum is that of all photos.
        preferred_split: Callable from a group to the index of a split. A hash with the splits'
            percentages as its chances: so groups are tested as often as single photos are.

    Returns:
        For each split, the list of its groups.
    """
    remaining = list(capacity)
    assigned: list[list[list]] = [[] for _ in capacity]
    for group in sorted((group for group in groups if len(group) > 1), key=len, reverse=True):
        split = preferred_split(group)
        if remaining[split] < len(group):
            split = remaining.index(max(remaining))
        remaining[split] -= len(group)
        assigned[split].append(group)
    singles = [group for group in groups if len(group) == 1]
    sizes = _reduce(remaining, len(singles))
    for some, part in zip(assigned, _slice(singles, sizes), strict=True):
        some += part
    _fill_empty_splits(assigned)
    return assigned


def _hashed_split(photo_id, seed, percentages):
    """Returns the index of a split by the hash of the first photo of a group."""
    percent = seeded_hash(f"group/{photo_id}", seed) * 100 >> 64
    train, validation, _ = percentages
    return 0 if percent < train else 1 if percent < train + validation else 2


def _reduce(remaining, photos):
    """Reduces what remains to `photos` in all: a group that fitted nowhere left less than none."""
    sizes = [max(0, size) for size in remaining]
    while sum(sizes) > photos:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes


def _fill_empty_splits(assigned):
    while not all(assigned):
        donors = [split for split in assigned if len(split) > 1]
        donor = max(donors, key=lambda split: sum(map(len, split)))
        group = min(donor, key=len)
        donor.remove(group)
        next(split for split in assigned if not split).append(group)


def _slice(items, sizes) -> Iterable[Sequence]:
    """Cuts a list into three of these sizes."""
    train, validation, _ = sizes
    return items[:train], items[train : train + validation], items[train + validation :]
