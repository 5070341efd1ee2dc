"""What becomes of every photo: its split, or the reason why it is left out. No TensorFlow here."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS, Photo, Skipped, landmark_order
from tfrecords.images.prepared import Outcome, Rejected
from tfrecords.splitting.deduplication import settle_copies
from tfrecords.splitting.stratified import MIN_FOR_SPLIT, SHARES, split_photos


@dataclass(frozen=True)
class Placement:
    """Where every photo went.

    Attributes:
        splits: Split name -> its photos, sorted by photo_id.
        skipped: Photos left out, sorted by photo_id.
        groups: photo_id -> name of its group, for kept photos that are near-duplicates.
        shares: Percent that were asked for; None where the photos came split already.
    """

    splits: dict[str, list[Photo]]
    skipped: list[Skipped]
    groups: dict[str, str]
    shares: tuple[int, int, int] | None

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
        """Number of photos with a copy in another split; photos that came split may have some."""
        homes = {}
        members = [
            p for photos in self.splits.values() for p in photos if p.photo_id in self.groups
        ]
        for photo in members:
            homes.setdefault(self.groups[photo.photo_id], set()).add(photo.split)
        return sum(len(homes[self.groups[photo.photo_id]]) > 1 for photo in members)


def place_photos(
    photos: Sequence[Photo],
    outcomes: Iterable[Outcome],
    skipped: Sequence[Skipped],
    shares: tuple[int, int, int] | None,
    seed: int,
) -> Placement:
    """Settles copies and deals what is left to the splits.

    Args:
        photos: Photos that were read, sorted by photo_id.
        outcomes: What came of each, in the same order.
        skipped: Photos that were left out before.
        shares: Percent for train, validation and test; None for 70/15/15. Photos that came split
            keep their split.
        seed: Int, of the split.

    Raises:
        UserError: too few good photos to train, validate and test on.
    """
    skipped = list(skipped)
    good, prepared = [], []
    for photo, outcome in zip(photos, outcomes, strict=True):
        if isinstance(outcome, Rejected):
            skipped.append(Skipped(photo.photo_id, outcome.reason, outcome.detail))
        else:
            good.append(photo)
            prepared.append(outcome)
    copies = settle_copies(good, prepared)
    kept, untrained = _drop_untrained(copies.kept)
    skipped = sorted([*skipped, *copies.skipped, *untrained], key=lambda row: row.photo_id)
    _check_kept(kept, skipped)
    if kept[0].split:
        shares = None
        splits = {name: [photo for photo in kept if photo.split == name] for name in SPLITS}
    else:
        shares = shares or SHARES
        splits = split_photos(kept, seed, shares, copies.groups)
    _check_splits(splits, skipped)
    return Placement(splits, skipped, copies.groups, shares)


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
