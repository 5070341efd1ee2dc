"""What shows only over all records: repeated ids, copies in two splits, shares, label order."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from tfrecords.common.types import SPLITS
from tfrecords.images.near_duplicates import near_duplicate_groups
from tfrecords.splitting.stratified import MIN_FOR_SPLIT, split_sizes
from tfrecords.validation.metadata import Landmark, Shard
from tfrecords.validation.records import Finding

NEVER = 1e-9  # chance of what is not taken for chance


class Record(NamedTuple):
    """What is kept of a good record: some 800 bytes, half of it the fingerprint.

    Attributes:
        number: Its place in the shard, from 1.
        digest: Hash of its image; empty where that is damaged.
        fingerprint: What near-duplicates are found by; empty as `digest` is.
    """

    shard: Shard
    number: int
    photo_id: str
    landmark_id: str
    label: int
    digest: bytes
    fingerprint: bytes

    def __str__(self):
        return f"{self.shard.file}, record {self.number} ({self.photo_id})"


def find_repeated_ids(records: Iterable[Record]) -> Iterator[Finding]:
    """Says which records have the photo_id of an earlier one."""
    firsts = {}
    for record in records:
        first = firsts.setdefault(record.photo_id, record)
        if first is not record:
            yield Finding("photo_id", f"{record} repeats the photo_id of {first}")


def find_wrong_labels(
    records: Iterable[Record], landmarks: Sequence[Landmark]
) -> Iterator[Finding]:
    """Says which records have a label that is not that of their landmark."""
    for record in records:
        if not 0 <= record.label < len(landmarks):
            text = f"label {record.label}, expected 0 to {len(landmarks) - 1}"
            yield Finding("label", f"{record}: {text}")
        elif landmarks[record.label].landmark_id != record.landmark_id:
            text = f"that of {landmarks[record.label].landmark_id}, not of {record.landmark_id}"
            yield Finding("label", f"{record}: label {record.label} is {text}")


def group_copies(records: Sequence[Record]) -> list[list[Record]]:
    """Returns groups of two or more records whose images are copies, exact or near."""
    same = defaultdict(list)
    for record in records:
        if record.digest:
            same[record.digest].append(record)
    same = list(same.values())
    near = near_duplicate_groups([copies[0].fingerprint for copies in same])
    in_group = {number for group in near for number in group}
    alone = [[i] for i, copies in enumerate(same) if len(copies) > 1 and i not in in_group]
    return [[record for i in group for record in same[i]] for group in near + alone]


def judge_copies(groups: Iterable[Sequence[Record]]) -> Iterator[Finding]:
    """Says which copies of a photo should not be there."""
    for first, *others in groups:
        for other in others:
            exact = other.digest == first.digest
            copies = f"{other} is {'the same photo as' if exact else 'a near-duplicate of'} {first}"
            split, first_split = other.shard.split, first.shard.split
            if split != first_split:
                yield Finding("two splits", f"{copies}: one in {split}, one in {first_split}")
            if other.landmark_id != first.landmark_id:
                landmarks = f"{other.landmark_id} and {first.landmark_id}"
                yield Finding("two landmarks", f"{copies}: landmarks {landmarks}")
            elif exact and split == first_split:
                yield Finding("copy", copies)


def judge_counts(records: Iterable[Record], landmarks: Sequence[Landmark]) -> Iterator[Finding]:
    """Says for which landmarks `landmarks.csv` counts other photos than there are."""
    counts = Counter((record.landmark_id, record.shard.split) for record in records)
    for landmark in landmarks:
        for split in SPLITS:
            listed, found = landmark.photos[split], counts[landmark.landmark_id, split]
            if listed != found:
                what = f"{split} photos of {landmark.landmark_id}"
                text = f"{what}: {listed:,} in landmarks.csv, {found:,} in the records"
                yield Finding("table", text)


def judge_shares(
    records: Sequence[Record], groups: Iterable[Sequence[Record]], shares: Sequence[float]
) -> Iterator[Finding]:
    """Says which splits have another size than `shares` ask for, which landmarks lack a split.

    A landmark's sizes are rounded as the build rounds them. Near-duplicates stay together, so they
    may stand in another split than these sizes say, but no other photo may.
    """
    counts = defaultdict(Counter)
    for record in records:
        counts[record.landmark_id][record.shard.split] += 1
    grouped, copies = Counter(), Counter()
    for group in groups:
        grouped[group[0].landmark_id] += len(group)
        copies[group[0].landmark_id] += len(group) - 1
    sizes = zip(*(split_sizes(count.total(), shares) for count in counts.values()), strict=True)
    for split, size, share in zip(SPLITS, map(sum, sizes), shares, strict=True):
        found = sum(count[split] for count in counts.values())
        if abs(found - size) > grouped.total():
            asked = f"{size:,} ({share:g} %)"
            if grouped:
                asked += f", give or take the {grouped.total():,} near-duplicates"
            text = f"{split} holds {found:,} of {len(records):,} photos, expected {asked}"
            yield Finding("split", text)
    for landmark_id, count in sorted(counts.items()):
        alone = count.total() - copies[landmark_id]
        empty = [split for split in SPLITS if not count[split]]
        if alone >= MIN_FOR_SPLIT and empty:
            text = f"landmark {landmark_id} has {alone:,} different photos, none in "
            yield Finding("split", text + " and ".join(empty))


def find_label_order(records: Iterable[Record]) -> Iterator[Finding]:
    """Says in which shards neighbours show the same landmark too often for chance.

    Shards in label order are what ruins training from them: a shuffle buffer is smaller than a
    landmark. Compared is the share of neighbours with one label with that of all pairs of the
    split; by Chernoff's bound a shuffled shard is named less than once in 10**9.
    """
    for _, split in groupby(records, key=lambda record: record.shard.split):
        split = list(split)
        counts = Counter(record.label for record in split)
        pairs = len(split) * (len(split) - 1) or 1
        chance = sum(count * (count - 1) for count in counts.values()) / pairs
        for shard, group in groupby(split, key=lambda record: record.shard):
            labels = [record.label for record in group]
            same = sum(first == second for first, second in pairwise(labels))
            neighbours = len(labels) - 1
            if _is_too_many(same, neighbours, chance):
                yield Finding(
                    "order",
                    f"{shard.file}: {same:,} of {neighbours:,} neighbours show the same landmark; "
                    f"shuffled, about {chance * neighbours:,.0f} would",
                )


def _is_too_many(found, tries, chance):
    """Whether `found` of `tries` is more than NEVER allows at this chance."""
    if not tries or found <= tries * chance:
        return False
    share = found / tries
    rest = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return tries * (share * math.log(share / chance) + rest) > -math.log(NEVER)
