"""Which photos are copies of each other, and what becomes of them. No TensorFlow here."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfrecords.common.types import Photo, Skipped
from tfrecords.images.near_duplicates import near_duplicate_groups
from tfrecords.images.prepared import Prepared


@dataclass(frozen=True)
class Copies:
    """What is left once copies are dealt with.

    Attributes:
        kept: Photos that become records, in the order they came.
        skipped: Exact copies, and photos that stand under two landmarks.
        groups: photo_id -> name of its group, for kept photos that are near-duplicates.
    """

    kept: list[Photo]
    skipped: list[Skipped]
    groups: dict[str, str]


def settle_copies(photos: Sequence[Photo], prepared: Iterable[Prepared]) -> Copies:
    """Keeps exact copies once, drops what stands under two landmarks, groups near-duplicates.

    Of exact copies within a landmark the one with the first `photo_id` is kept; in a pre-split
    folder, one in each split. A photo with a copy, exact or near, under another landmark is
    dropped with all its copies: nobody knows which label is right.

    Args:
        photos: Good photos, sorted by photo_id.
        prepared: What is known of each, in the same order.
    """
    same = defaultdict(list)  # digest -> places in `photos`
    fingerprints = []
    for i, one in enumerate(prepared):
        if one.digest not in same:
            fingerprints.append(one.fingerprint)
        same[one.digest].append(i)
    skipped, groups = {}, {}
    for family in _families(list(same.values()), fingerprints):
        members = [(photos[i], digest) for i, digest in sorted(family)]
        if len({photo.landmark_id for photo, _ in members}) > 1:
            skipped |= _drop_all(members)
            continue
        kept, copies = _once_per_split(members)
        skipped |= copies
        if len(kept) > 1:
            groups |= dict.fromkeys(kept, kept[0])
    kept = [photo for photo in photos if photo.photo_id not in skipped]
    return Copies(kept, list(skipped.values()), groups)


def _families(same, fingerprints):
    """Returns lists of (place, digest number) of photos that are copies, exact or near."""
    near = near_duplicate_groups(fingerprints)
    in_group = {number for group in near for number in group}
    alone = [[number] for number, places in enumerate(same) if len(places) > 1]
    groups = near + [group for group in alone if group[0] not in in_group]
    return [[(place, number) for number in group for place in same[number]] for group in groups]


def _drop_all(members):
    skipped = {}
    for photo, _ in members:
        other = next(o for o, _ in members if o.landmark_id != photo.landmark_id)
        detail = f"also {other.photo_id} of {other.landmark_id}"
        skipped[photo.photo_id] = Skipped(photo.photo_id, "two landmarks", detail)
    return skipped


def _once_per_split(members):
    firsts, skipped = {}, {}
    for photo, digest in members:
        first = firsts.setdefault((digest, photo.split), photo.photo_id)
        if first != photo.photo_id:
            skipped[photo.photo_id] = Skipped(photo.photo_id, "duplicate", f"of {first}")
    return list(firsts.values()), skipped
