"""Which split each photo goes to: stratified, seeded, copies of one photo together."""

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain
from operator import attrgetter

from tfrecords.common.console import UserError
from tfrecords.common.cyclic_gc import no_garbage_collection
from tfrecords.common.types import SPLITS, Photo

SHARES = (70, 15, 15)  # percent, as in the report this project started from
MIN_FOR_SPLIT = 3  # photos (copies of one counted once) a landmark needs to be in all splits


@no_garbage_collection()
def split_photos(
    photos: Sequence[Photo],
    seed: int,
    shares: Sequence[int] = SHARES,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[Photo]]:
    """Deals photos to train, validation and test, landmark by landmark.

    A photo's place depends on its id, its landmark's other ids, its group and the seed: never on
    the order of the list or of the disk, nor on what a group is called. A landmark with at least 3
    photos is in all three splits; one with fewer is in train only. A group counts as one photo
    there, and is never torn apart, so groups can move a landmark's sizes away from the shares.

    Args:
        photos: Photos that are known to be good.
        seed: Int; another seed deals otherwise.
        shares: Percent for train, validation and test.
        groups: Dict from photo_id to the name of its group, for photos that have near-duplicates;
            all of a group are photos of one landmark.

    Returns:
        Dict from split name to photos, sorted by photo_id.

    Raises:
        UserError: `shares` are no three positive numbers with sum 100.
        ValueError: a group holds photos of two landmarks.
    """
    check_shares(shares)
    groups = groups or {}
    _check_groups(photos, groups)
    photos = sorted(photos, key=attrgetter("photo_id"))
    draws = array("Q")  # arrays: 4 million photos have no room for as many lists and numbers
    by_landmark = defaultdict(partial(array, "I"))  # places in `photos`
    for place, photo in enumerate(photos):
        draws.append(draw(photo.photo_id, seed))
        by_landmark[photo.landmark_id].append(place)
    homes = bytearray(len(photos))  # 0, 1, 2 for train, validation, test
    for places in by_landmark.values():
        places = sorted(places, key=draws.__getitem__)
        for home, part in enumerate(_deal(places, photos, groups, seed, shares)):
            for place in part:
                homes[place] = home
    splits = [], [], []
    for photo, home in zip(photos, homes, strict=True):  # in order; to sort each split takes longer
        splits[home].append(photo)
    return dict(zip(SPLITS, splits, strict=True))


def split_sizes(photos: int, shares: Sequence[int] = SHARES) -> tuple[int, int, int]:
    """Returns how many of a landmark's `photos` go to train, validation and test."""
    if photos < MIN_FOR_SPLIT:
        return photos, 0, 0
    validation, test = (max(1, round(photos * share / 100)) for share in shares[1:])
    while validation + test >= photos:  # shares like 1 50 49 would leave train without a photo
        if validation > test:
            validation -= 1
        else:
            test -= 1
    return photos - validation - test, validation, test


def check_shares(shares: Sequence[int]) -> None:
    """Raises UserError unless `shares` are three whole percentages above 0 with sum 100."""
    whole = all(isinstance(share, int) for share in shares)
    if len(shares) != 3 or not whole or min(shares) <= 0 or sum(shares) != 100:
        got = " ".join(map(str, shares))
        raise UserError(
            "Expected three whole percentages above 0 for train, validation and test that sum to "
            f"100, as in --split {' '.join(map(str, SHARES))}; got {got}."
        )


def draw(photo_id: str, seed: int | str) -> int:
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
                    f"and {photo.landmark_id!r}. Drop copies that stand under two landmarks first."
                )


def _deal(places, photos, groups, seed, shares):
    """Deals the shuffled places of one landmark's photos to three lists."""
    names = [groups.get(photos[place].photo_id) for place in places] if groups else ()
    if any(names):
        return _deal_groups(_units(places, names), photos, seed, shares)
    return _cut(places, split_sizes(len(places), shares))


def _units(places, names):
    """Lists what stays together: groups and lone photos, in the order of `places`."""
    units = defaultdict(list)
    for place, name in zip(places, names, strict=True):
        units[name or place].append(place)
    return list(units.values())


def _deal_groups(units, photos, seed, shares):
    """Deals one landmark's units: first the groups, then lone photos into the room that is left.

    A group goes where its hash says, each split being as likely as its share, so that the groups
    of a landmark are tested as often as its other photos. Where it does not fit it goes to the
    split with the most room. The largest come first: they are the hardest to fit.
    """
    if len(units) < MIN_FOR_SPLIT:
        return chain.from_iterable(units), (), ()
    rooms = list(split_sizes(sum(map(len, units)), shares))
    dealt = [], [], []
    for unit in sorted((unit for unit in units if len(unit) > 1), key=len, reverse=True):
        split = _draw_split(photos[unit[0]].photo_id, seed, shares)
        if rooms[split] < len(unit):
            split = rooms.index(max(rooms))
        rooms[split] -= len(unit)
        dealt[split].append(unit)
    lone = [unit for unit in units if len(unit) == 1]
    for split, part in zip(dealt, _cut(lone, _fit(rooms, len(lone))), strict=True):
        split += part
    _fill_empty(dealt)
    return [chain.from_iterable(split) for split in dealt]


def _draw_split(photo_id, seed, shares):
    """Returns the place of a split; `photo_id` stands for its group."""
    percent = draw(f"group/{photo_id}", seed) * 100 >> 64
    return 0 if percent < shares[0] else 1 if percent < shares[0] + shares[1] else 2


def _fit(rooms, photos):
    """Cuts the rooms down to `photos` in all, where a group that fitted nowhere took more."""
    rooms = [max(0, room) for room in rooms]
    while sum(rooms) > photos:
        rooms[rooms.index(max(rooms))] -= 1
    return rooms


def _fill_empty(dealt):
    """Gives each empty split the smallest unit of the largest split that can spare one."""
    while not all(dealt):
        donors = [split for split in dealt if len(split) > 1]
        donor = max(donors, key=lambda split: sum(map(len, split)))
        unit = min(donor, key=len)
        donor.remove(unit)
        next(split for split in dealt if not split).append(unit)


def _cut(items, sizes):
    """Cuts a list into three of these sizes."""
    train, validation, _ = sizes
    return items[:train], items[train : train + validation], items[train + validation :]
