"""Which split each photo goes to, or the reason why it is left out. No TensorFlow here."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS, Photo, Skipped, landmark_order
from tfrecords.images.prepared import Outcome
from tfrecords.splitting.deduplication import resolve_copies
from tfrecords.splitting.stratified import MIN_FOR_SPLIT, PERCENTAGES, split_photos


@dataclass(frozen=True)
class Assignment:
    """Which split every photo went to.

    Attributes:
        splits: Split name -> its photos, sorted by photo_id.
        skipped: Photos left out, sorted by photo_id.
        groups: photo_id -> name of its group, for kept photos that are near-duplicates.
        percentages: Those asked for; None where the folder was split already.
        conflicts: Photos dropped from each cluster of copies that has several landmarks.
    """

    splits: dict[str, list[Photo]]
    skipped: list[Skipped]
    groups: dict[str, str]
    percentages: tuple[int, int, int] | None
    conflicts: list[int]

    @cached_property
    def counts(self) -> dict[str, Counter]:
        """Split name -> landmark_id -> photos."""
        return {
            split: Counter(photo.landmark_id for photo in photos)
            for split, photos in self.splits.items()
        }

    @cached_property
    def landmark_ids(self) -> list[str]:
        """In label order."""
        return sorted(self.counts["train"], key=landmark_order)

    @cached_property
    def labels(self) -> dict[str, int]:
        """landmark_id -> label."""
        return {landmark_id: label for label, landmark_id in enumerate(self.landmark_ids)}

    @cached_property
    def leaks(self) -> int:
        """Number of photos with a copy in another split: a pre-split folder may have some."""
        splits: dict[str, set[str]] = {}  # group -> those of its photos
        members = [
            p for photos in self.splits.values() for p in photos if p.photo_id in self.groups
        ]
        for photo in members:
            splits.setdefault(self.groups[photo.photo_id], set()).add(photo.split)
        return sum(len(splits[self.groups[photo.photo_id]]) > 1 for photo in members)


def assign_photos(
    photos: Sequence[Photo],
    outcomes: Iterable[Outcome],
    skipped: Sequence[Skipped],
    percentages: tuple[int, int, int] | None,
    seed: int,
    threads: int | None = None,
) -> Assignment:
    """Resolves copies and assigns what is left to the splits.

    Args:
        photos: Photos that were read, sorted by photo_id.
        outcomes: What came of each, in the same order.
        skipped: Photos that were left out before.
        percentages: Of train, validation and test; None for 70/15/15. Photos of a pre-split folder
            keep their split.
        seed: Int, of the split.
        threads: Int, how many compare photos at once; None for one per core.

    Raises:
        UserError: too few good photos to train, validate and test on.
    """
    skipped = list(skipped)
    good, prepared = [], []
    for photo, outcome in zip(photos, outcomes, strict=True):
        if isinstance(outcome, Skipped):
            skipped.append(outcome)
        else:
            good.append(photo)
            prepared.append(outcome)
    unique = resolve_copies(good, prepared, threads)
    kept, untrained = _drop_untrained(unique.kept)
    skipped = sorted([*skipped, *unique.skipped, *untrained], key=lambda row: row.photo_id)
    _check_kept(kept, skipped)
    if kept[0].split:
        percentages = None
        splits = {name: [photo for photo in kept if photo.split == name] for name in SPLITS}
    else:
        percentages = percentages or PERCENTAGES
        splits = split_photos(kept, seed, percentages, unique.groups)
    _check_splits(splits, skipped)
    return Assignment(splits, skipped, unique.groups, percentages, unique.conflicts)


def count_reasons(skipped: Iterable[Skipped]) -> list[tuple[str, int]]:
    """Returns (reason, photos) in alphabetical order."""
    return sorted(Counter(row.reason for row in skipped).items())


def _drop_untrained(photos):
    """Leaves out landmarks that a pre-split folder validates or tests without training."""
    trained = {photo.landmark_id for photo in photos if photo.split in ("train", "")}
    kept = [photo for photo in photos if photo.landmark_id in trained]
    return kept, [
        Skipped(photo.photo_id, "untrained landmark")
        for photo in photos
        if photo.landmark_id not in trained
    ]


def _check_kept(kept, skipped):
    landmarks = len({photo.landmark_id for photo in kept})
    if landmarks < 2:
        raise UserError(
            f"Expected good photos of at least two landmarks, got {landmarks} "
            f"({_reasons(skipped)})."
        )


def _check_splits(splits, skipped):
    if empty := [name for name, photos in splits.items() if not photos]:
        raise UserError(
            f"No good photo for {' and '.join(empty)}: a landmark needs {MIN_FOR_SPLIT} different "
            f"good photos to be validated and tested ({_reasons(skipped)}). Add photos."
        )


def _reasons(skipped):
    counts = count_reasons(skipped)
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "none skipped"
