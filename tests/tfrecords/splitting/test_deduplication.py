"""Copies: exact ones once, near ones together, one photo under two landmarks dropped from both."""

from io import BytesIO

from photo_files import encode, grain
from PIL import Image

from tfrecords.common.types import Photo, Skipped
from tfrecords.images.fingerprints import fingerprint
from tfrecords.images.prepared import Prepared
from tfrecords.splitting.deduplication import resolve_copies


def jpeg(number, quality=92):
    """A picture unlike that of any other number, at some quality."""
    photo = grain(16, 12, number).resize((341, 256), Image.Resampling.BICUBIC)
    return encode(photo, quality=quality)


def resolve(*photos):
    """Takes (photo_id, picture) or (photo_id, picture, split); the landmark is the id's folder."""
    listed, prepared = [], []
    for photo_id, picture, *split in photos:
        listed.append(Photo(photo_id, photo_id.split("/")[-2], split=split[0] if split else ""))
        prepared.append(Prepared(picture, fingerprint(picture)))
    found = resolve_copies(listed, prepared)
    return [photo.photo_id for photo in found.kept], found.skipped, found.groups


def test_different_photos_are_kept():
    photos = [
        (f"{landmark}/{n}", jpeg(2 * n + i)) for i, landmark in enumerate("ab") for n in (1, 2)
    ]
    assert resolve(*photos) == (["a/1", "a/2", "b/1", "b/2"], [], {})


def test_exact_copies_are_kept_once():
    kept, skipped, groups = resolve(("a/1", jpeg(1)), ("a/2", jpeg(2)), ("a/3", jpeg(1)))
    assert kept == ["a/1", "a/2"]
    assert skipped == [Skipped("a/3", "duplicate", "of a/1")]
    assert groups == {}


def test_near_duplicates_are_kept_in_one_group():
    kept, skipped, groups = resolve(("a/1", jpeg(1)), ("a/2", jpeg(2)), ("a/3", jpeg(1, 60)))
    assert kept == ["a/1", "a/2", "a/3"]
    assert skipped == []
    assert groups == {"a/1": "a/1", "a/3": "a/1"}


def test_a_group_holds_exact_copies_of_its_members_once():
    kept, skipped, groups = resolve(
        ("a/1", jpeg(1)), ("a/2", jpeg(1, 60)), ("a/3", jpeg(1)), ("a/4", jpeg(1, 60))
    )
    assert kept == ["a/1", "a/2"]
    assert sorted(row.photo_id for row in skipped) == ["a/3", "a/4"]
    assert groups == {"a/1": "a/1", "a/2": "a/1"}


def test_the_same_photo_under_two_landmarks_is_dropped_from_both():
    kept, skipped, groups = resolve(("a/1", jpeg(1)), ("a/2", jpeg(2)), ("b/1", jpeg(1)))
    assert kept == ["a/2"]
    assert skipped == [
        Skipped("a/1", "two landmarks", "also b/1 of b"),
        Skipped("b/1", "two landmarks", "also a/1 of a"),
    ]
    assert groups == {}


def test_a_near_duplicate_under_another_landmark_drops_the_whole_group():
    kept, skipped, _ = resolve(
        ("a/1", jpeg(1)), ("a/2", jpeg(1, 60)), ("b/1", jpeg(1, 75)), ("b/2", jpeg(2))
    )
    assert kept == ["b/2"]
    assert [(row.photo_id, row.reason) for row in skipped] == [
        ("a/1", "two landmarks"),
        ("a/2", "two landmarks"),
        ("b/1", "two landmarks"),
    ]


def crop(number, left):
    """The picture of that number without a part of its left side."""
    photo = Image.open(BytesIO(jpeg(number)))
    out = BytesIO()
    photo.crop((round(left * photo.width), 0, *photo.size)).save(out, "JPEG", quality=92)
    return out.getvalue()


def test_a_copy_by_way_of_others_keeps_its_landmark():
    """In a chain of views only the link between two landmarks is dropped, not the chain."""
    chain = [jpeg(1), crop(1, 0.1), crop(1, 0.19), crop(1, 0.271)]
    names = ["a/1", "a/2", "b/1", "b/2"]
    kept, skipped, groups = resolve(*zip(names, chain, strict=True))
    assert kept == ["a/1", "b/2"]
    assert skipped == [
        Skipped("a/2", "two landmarks", "also b/1 of b"),
        Skipped("b/1", "two landmarks", "also a/2 of a"),
    ]
    assert groups == {}


def test_views_of_two_landmarks_stay_in_groups_of_their_own():
    chain = [jpeg(1, 60), jpeg(1), crop(1, 0.1), crop(1, 0.19), crop(1, 0.271), crop(1, 0.272)]
    names = ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"]
    kept, _, groups = resolve(*zip(names, chain, strict=True))
    assert kept == ["a/1", "a/2", "b/2", "b/3"]
    assert groups == {"a/1": "a/1", "a/2": "a/1", "b/2": "b/2", "b/3": "b/2"}


def test_conflicts_are_counted_by_cluster():
    photos = [("a/1", jpeg(1)), ("a/2", jpeg(2)), ("a/3", jpeg(2, 60)), ("b/1", jpeg(1))]
    photos += [("b/2", jpeg(2, 75)), ("b/3", jpeg(3))]
    listed = [Photo(photo_id, photo_id[0]) for photo_id, _ in photos]
    images = [Prepared(picture, fingerprint(picture)) for _, picture in photos]
    found = resolve_copies(listed, images)
    assert sorted(found.conflicts) == [2, 3]
    assert [photo.photo_id for photo in found.kept] == ["b/3"]


def test_one_image_of_two_landmarks_drops_what_is_near_it():
    kept, _, _ = resolve(("a/1", jpeg(1)), ("a/2", jpeg(1, 60)), ("b/1", jpeg(1)), ("c/1", jpeg(4)))
    assert kept == ["c/1"]


def test_photos_that_came_split_keep_one_copy_per_split():
    kept, skipped, groups = resolve(
        ("test/a/1", jpeg(1), "test"),
        ("train/a/1", jpeg(1), "train"),
        ("train/a/2", jpeg(1), "train"),
    )
    assert kept == ["test/a/1", "train/a/1"]
    assert skipped == [Skipped("train/a/2", "duplicate", "of train/a/1")]
    assert groups == {"test/a/1": "test/a/1", "train/a/1": "test/a/1"}
