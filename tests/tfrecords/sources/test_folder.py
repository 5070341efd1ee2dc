"""Which files are photos, which landmark and split they show, and what is named beside them."""

import os
import re
from pathlib import Path

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import REASONS, Photo, Skipped
from tfrecords.sources.folder import list_folder


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(photos):
    return [photo.photo_id for photo in photos]


def rows(listing):
    """photo_id -> reason of what was left out."""
    assert {row.reason for row in listing.skipped} <= set(REASONS)
    return {row.photo_id: row.reason for row in listing.skipped}


def test_every_file_of_a_landmark_is_listed(tmp_path):
    touch(tmp_path, "tower/2.jpg", "tower/10.PNG", "bridge/no_extension")
    listing = list_folder(tmp_path)
    assert listing.photos == [
        Photo("bridge/no_extension", "bridge", str(tmp_path / "bridge/no_extension")),
        Photo("tower/10.PNG", "tower", str(tmp_path / "tower/10.PNG")),
        Photo("tower/2.jpg", "tower", str(tmp_path / "tower/2.jpg")),
    ]
    assert listing.skipped == []
    assert listing.empty_folders == []
    assert listing.notes == []


def test_sub_folders_belong_to_their_landmark(tmp_path):
    touch(tmp_path, "a/2019/summer/1.jpg", "a/1.jpg", "b/1.jpg")
    photos = list_folder(tmp_path).photos
    assert [(p.photo_id, p.landmark_id) for p in photos] == [
        ("a/1.jpg", "a"),
        ("a/2019/summer/1.jpg", "a"),
        ("b/1.jpg", "b"),
    ]


def test_what_systems_leave_behind_is_no_photo(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    touch(tmp_path, ".DS_Store", "a/.DS_Store", "a/._1.jpg", ".git/x/1.jpg", "a/.thumbs/1.jpg")
    touch(tmp_path, "a/Thumbs.db", "b/THUMBS.DB", "b/desktop.ini", "Thumbs.db")
    touch(tmp_path, "__MACOSX/a/1.jpg", "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/x")
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert listing.skipped == []
    assert listing.empty_folders == []
    assert listing.notes == [
        "12 hidden or system files and folders were passed over: $RECYCLE.BIN, .DS_Store, ._1.jpg, "
        ".git, .thumbs."
    ]


def test_files_beside_the_landmarks_are_strays(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "z.jpg", "readme.txt")
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert rows(listing) == {"readme.txt": "no landmark folder", "z.jpg": "no landmark folder"}


def test_landmarks_without_a_file_are_named(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "only_hidden/.gitkeep")
    (tmp_path / "nothing/below").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    assert list_folder(tmp_path).empty_folders == ["nothing", "only_hidden"]


def test_names_may_have_spaces_and_any_letters(tmp_path):
    names = ["Notre Dame/IMG 1 (2).jpg", "故宫/照片.jpg", "église/é.jpg"]
    touch(tmp_path, *names)
    photos = list_folder(tmp_path).photos
    assert ids(photos) == sorted(names)
    assert [photo.landmark_id for photo in photos] == ["Notre Dame", "église", "故宫"]


def test_names_that_are_no_utf8_get_a_printable_id(tmp_path):
    touch(tmp_path, "a/1.jpg")
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    open(folder + b"/\xff.jpg", "wb").close()
    photo = list_folder(tmp_path).photos[1]
    assert photo.photo_id == "caf\\udce9/\\udcff.jpg"
    assert photo.landmark_id == "caf\\udce9"
    assert photo.photo_id.encode("utf-8").decode("utf-8") == photo.photo_id
    assert Path(photo.location).read_bytes() == b""


def test_photos_are_sorted_by_id_where_a_name_starts_another(tmp_path):
    touch(tmp_path, "tower/1.jpg", "tower bridge/1.jpg", "tower-2/1.jpg")
    expected = ["tower bridge/1.jpg", "tower-2/1.jpg", "tower/1.jpg"]
    assert expected == sorted(expected)
    assert ids(list_folder(tmp_path).photos) == expected


def linked(tmp_path):
    """Photos with links out of the folder, into it, to itself and to nothing."""
    photos = tmp_path / "photos"
    touch(tmp_path, "elsewhere/1.jpg", "private.txt", "photos/a/1.jpg", "photos/b/1.jpg")
    (photos / "again").symlink_to(tmp_path / "elsewhere")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "a" / "up").symlink_to(photos)
    (photos / "b" / "self").symlink_to(photos / "b")
    (photos / "b" / "root").symlink_to("/")
    (photos / "b" / "private.jpg").symlink_to(tmp_path / "private.txt")
    (photos / "b" / "copy.jpg").symlink_to(photos / "a" / "1.jpg")
    (photos / "b" / "circle.jpg").symlink_to(photos / "b" / "circle.jpg")
    return photos


def test_links_out_of_the_folder_are_named_and_not_followed(tmp_path):
    listing = list_folder(linked(tmp_path))
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg", "b/circle.jpg", "b/copy.jpg"]
    names = ["again", "linked", "a/up", "b/private.jpg", "b/root", "b/self"]
    assert rows(listing) == dict.fromkeys(names, "link")


def test_links_are_followed_on_request_and_each_folder_once(tmp_path):
    listing = list_folder(linked(tmp_path), follow_links=True)
    assert ids(listing.photos) == [
        "a/1.jpg",
        "again/1.jpg",
        "b/1.jpg",
        "b/circle.jpg",
        "b/copy.jpg",
        "b/private.jpg",
    ]
    assert rows(listing) == dict.fromkeys(["linked", "a/up", "b/root", "b/self"], "link")


def test_a_folder_that_is_a_link_itself_is_listed(tmp_path):
    touch(tmp_path, "photos/a/1.jpg", "photos/b/1.jpg")
    (tmp_path / "alias").symlink_to("photos")
    assert ids(list_folder(tmp_path / "alias").photos) == ["a/1.jpg", "b/1.jpg"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "b/2019/2.jpg")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "2019":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert listing.skipped == [Skipped("b/2019", "unreadable")]


@pytest.mark.parametrize(
    "files",
    [
        ("manifest.json", "landmarks-train.tfrecord-00000-of-00001", "histogram.png"),
        ("config.json", "metrics.json", "figures/history.png"),
        ("config.json", "checkpoint/state.json"),
        ("saved_model.pb", "assets.extra/labels.txt"),
        ("prepared.sqlite", "records/x.png"),
    ],
)
def test_records_and_runs_are_no_landmarks(files, tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", *(f"mine/{name}" for name in files))
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert rows(listing) == {"mine": "records or run"}
    assert listing.empty_folders == []


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "\u00e9" * 120, "a" * 250, "\u202egpj", " "]
)
def test_a_photo_may_have_any_name(name, tmp_path):
    touch(tmp_path, f"a/{name}", "b/1.jpg")
    assert ids(list_folder(tmp_path).photos) == [f"a/{name}", "b/1.jpg"]


def test_both_unicode_forms_of_a_name_are_one_landmark(tmp_path):
    touch(tmp_path, "e\u0301glise/1.jpg", "\u00e9glise/2.jpg", "b/1.jpg")
    photos = list_folder(tmp_path).photos
    assert {photo.landmark_id for photo in photos} == {"b", "\u00e9glise"}
    assert len(photos) == 3


def test_missing_folder(tmp_path):
    expected = (
        f"No folder {tmp_path}/x. Expected a folder with one sub-folder of photos per landmark."
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        list_folder(tmp_path / "x")


def test_a_file_is_no_folder(tmp_path):
    touch(tmp_path, "photos.zip")
    with pytest.raises(UserError, match=r"No folder .*photos\.zip"):
        list_folder(tmp_path / "photos.zip")


def test_empty_folder(tmp_path):
    layout = f"Expected one sub-folder per landmark: {tmp_path}/LANDMARK/PHOTO.jpg, at least two."
    with pytest.raises(UserError, match=f"^{re.escape(f'{tmp_path} holds no photos. {layout}')}$"):
        list_folder(tmp_path)


def test_empty_landmarks_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        list_folder(tmp_path)


def test_only_loose_files(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(
        UserError,
        match=r"holds 2 files but no sub-folder with photos\. .*"
        r"Move the photos of each landmark into a folder of its name\.$",
    ):
        list_folder(tmp_path)


def test_one_landmark(tmp_path):
    touch(tmp_path, "tower/1.jpg", "tower/2.jpg", "loose.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"holds photos of one landmark only \(tower\)\. .* at least two\.$"
    ):
        list_folder(tmp_path)


def test_a_folder_that_is_split_keeps_its_splits(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/deep/1.jpg")
    touch(tmp_path, "test/a/1.jpg", "test/b/1.jpg", "test/stray.jpg")
    (tmp_path / "val" / "empty").mkdir()
    listing = list_folder(tmp_path)
    assert [(photo.photo_id, photo.landmark_id, photo.split) for photo in listing.photos] == [
        ("test/a/1.jpg", "a", "test"),
        ("test/b/1.jpg", "b", "test"),
        ("train/a/1.jpg", "a", "train"),
        ("train/b/1.jpg", "b", "train"),
        ("val/a/1.jpg", "a", "validation"),
        ("val/b/deep/1.jpg", "b", "validation"),
    ]
    assert rows(listing) == {"test/stray.jpg": "no landmark folder"}
    assert listing.empty_folders == ["empty"]


@pytest.mark.parametrize(
    "names",
    [
        ("train", "valid", "test"),
        ("Train", "Val", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "dev", "eval"),
    ],
)
def test_splits_keep_their_usual_names(names, tmp_path):
    touch(tmp_path, *(f"{name}/{one}/1.jpg" for name in names for one in "ab"))
    found = {photo.photo_id.split("/")[0]: photo.split for photo in list_folder(tmp_path).photos}
    assert found == dict(zip(names, ("train", "validation", "test"), strict=True))


def test_folders_beside_the_splits_are_left_out_and_named(tmp_path):
    touch(tmp_path, *(f"{name}/{one}/1.jpg" for name in ("train", "val", "test") for one in "ab"))
    touch(tmp_path, "__MACOSX/train/a/._1.jpg", "annotations/a.json", "annotations/b.json", "x.txt")
    listing = list_folder(tmp_path)
    assert len(listing.photos) == 6
    assert listing.skipped == [
        Skipped("x.txt", "no landmark folder"),
        Skipped("annotations/", "beside the splits", "2 files"),
    ]


def test_unlabelled_test_photos_are_one_message(tmp_path):
    touch(tmp_path, *(f"{name}/{one}/1.jpg" for name in ("train", "val") for one in "ab"))
    touch(tmp_path, "test/1.jpg", "test/2.jpg")
    seen = "test/ (no folder inside), train/ (2 folders inside), val/ (2 folders inside)."
    with pytest.raises(UserError, match="looks split already, with test, train, val") as error:
        list_folder(tmp_path)
    assert str(error.value).endswith(f"Seen: {seen}")


def test_landmarks_called_train_and_test_are_landmarks(tmp_path):
    touch(tmp_path, "train/1.jpg", "test/1.jpg", "tower/1.jpg")
    assert [photo.landmark_id for photo in list_folder(tmp_path).photos] == [
        "test",
        "tower",
        "train",
    ]
    (tmp_path / "tower" / "1.jpg").unlink()
    (tmp_path / "tower").rmdir()
    assert [photo.split for photo in list_folder(tmp_path).photos] == ["", ""]


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test"),
        ("Training", "valid"),
        ("test", "val"),
        ("train",),
        ("train", "val", "validation", "test"),
    ],
)
def test_a_folder_split_otherwise_is_refused(folders, tmp_path):
    touch(tmp_path, *(f"{folder}/a/1.jpg" for folder in folders))
    expected = (
        f"{tmp_path} looks split already, with {', '.join(sorted(folders))}. Expected exactly train"
    )
    with pytest.raises(UserError, match=re.escape(expected)):
        list_folder(tmp_path)
