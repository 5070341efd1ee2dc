"""Which photos are copies of each other, and what becomes of them. No TensorFlow here."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfrecords.common.types import Photo, Skipped
from tfrecords.images.near_duplicates import Copies, find_near_duplicates
from tfrecords.images.prepared import Prepared


@dataclass(frozen=True)
class Deduplicated:
    """What is left once copies are resolved.

    Attributes:
        kept: Photos that become records, in the order they came.
        skipped: Exact copies, and photos with a copy that has another landmark.
        groups: photo_id -> name of its group, for kept photos that are near-duplicates.
        conflicts: Photos dropped from each cluster of copies that has several landmarks.
    """

    kept: list[Photo]
    skipped: list[Skipped]
    groups: dict[str, str]
    conflicts: list[int]


def find_copies(
    digests: Sequence[bytes],
    fingerprints: Sequence[bytes],
    landmark_ids: Sequence[str],
    threads: int | None = None,
) -> Copies:
    """Finds copies, exact and near.

    Args:
        digests: Hash of each photo's JPEG: that of an exact copy is equal.
        fingerprints: What near-duplicates are found by.
        landmark_ids: The landmark of each.
        threads: Int, how many work at once; None for one per core.
    """
    first_places: dict[bytes, int] = {}  # digest -> where it is first
    repeats = defaultdict(list)  # that -> where else
    for place, digest in enumerate(digests):
        first = first_places.setdefault(digest, place)
        if first != place:
            repeats[first].append(place)
    firsts = list(first_places.values())
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(landmark_ids[place], len(numbers)) for place in firsts]
    ambiguous = set()  # of `firsts`: one image under several landmarks conflicts with all others
    for number, first in enumerate(firsts):
        if any(landmark_ids[place] != landmark_ids[first] for place in repeats.get(first, ())):
            ambiguous.add(number)
            labels[number] = -1 - number
    near = find_near_duplicates([fingerprints[place] for place in firsts], labels, threads)
    in_group = {number for group in near.groups for number in group}
    exact = [[n] for n, first in enumerate(firsts) if first in repeats and n not in in_group]

    def places(numbers):
        return sorted(p for n in numbers for p in (firsts[n], *repeats.get(firsts[n], ())))

    groups = [places(group) for group in near.groups + exact]
    return Copies(groups, set(places(near.conflicting | ambiguous)))


def resolve_copies(
    photos: Sequence[Photo], prepared: Sequence[Prepared], threads: int | None = None
) -> Deduplicated:
    """Keeps exact copies once, drops photos of two landmarks, groups near-duplicates.

    Of exact copies within a landmark the one with the first `photo_id` is kept; in a pre-split
    folder, one in each split. A photo that has a copy, exact or near, under another landmark is
    dropped, as is that copy: nobody knows which label is correct. What is a copy of them only by
    way of others stays: in a chain of a thousand views one false link must not cost them all.

    Args:
        photos: Good photos, sorted by photo_id.
        prepared: What is known of each, in the same order.
        threads: Int, how many work at once; None for one per core.
    """
    digests = [one.digest for one in prepared]
    fingerprints = [one.fingerprint for one in prepared]
    landmark_ids = [photo.landmark_id for photo in photos]
    copies = find_copies(digests, fingerprints, landmark_ids, threads)
    skipped: dict[str, Skipped] = {}
    groups: dict[str, str] = {}
    conflicts = []
    for group in copies.groups:
        dropped = [photos[place] for place in group if place in copies.conflicting]
        if dropped:
            skipped |= _drop(dropped)
            conflicts.append(len(dropped))
        rest = [place for place in group if place not in copies.conflicting]
        for members in by_landmark(rest, photos):
            kept, repeated = _once_per_split([(photos[i], digests[i]) for i in members])
            skipped |= repeated
            if len(kept) > 1:
                groups |= dict.fromkeys(kept, kept[0])
    kept = [photo for photo in photos if photo.photo_id not in skipped]
    return Deduplicated(kept, list(skipped.values()), groups, conflicts)


def by_landmark(places: Sequence[int], photos: Sequence) -> Iterator[list[int]]:
    """Yields those of `places` whose photos have one landmark, landmark after landmark.

    Args:
        places: Ints, places in `photos`.
        photos: Objects with a `landmark_id`.
    """
    members = defaultdict(list)
    for place in places:
        members[photos[place].landmark_id].append(place)
    yield from members.values()


def _drop(photos):
    skipped = {}
    for photo in photos:
        other = next(o for o in photos if o.landmark_id != photo.landmark_id)
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
