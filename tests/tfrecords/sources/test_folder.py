"""Which files are photos, which landmark and split they show, and whose box is whose."""

import os
import re
from pathlib import Path

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import NO_BOX, Photo
from tfrecords.sources.folder import list_folder, read_boxes

HEADER = "photo,ymin,xmin,ymax,xmax\n"


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(photos):
    return [photo.photo_id for photo in photos]


def test_every_file_of_a_landmark_is_listed(tmp_path):
    touch(tmp_path, "tower/2.jpg", "tower/10.PNG", "bridge/no_extension")
    listing = list_folder(tmp_path)
    assert listing.photos == [
        Photo("bridge/no_extension", "bridge", str(tmp_path / "bridge/no_extension")),
        Photo("tower/10.PNG", "tower", str(tmp_path / "tower/10.PNG")),
        Photo("tower/2.jpg", "tower", str(tmp_path / "tower/2.jpg")),
    ]
    assert listing.strays == []
    assert listing.empty_folders == []


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
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert listing.strays == []
    assert listing.empty_folders == []


def test_files_beside_the_landmarks_are_strays(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "z.jpg", "readme.txt")
    listing = list_folder(tmp_path)
    assert ids(listing.photos) == ["a/1.jpg", "b/1.jpg"]
    assert listing.strays == ["readme.txt", "z.jpg"]


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


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    photos = tmp_path / "photos"
    touch(tmp_path, "elsewhere/1.jpg", "photos/a/1.jpg", "photos/b/1.jpg")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "a" / "up").symlink_to(photos)
    (photos / "b" / "self").symlink_to(photos / "b")
    assert ids(list_folder(photos).photos) == ["a/1.jpg", "b/1.jpg", "linked/1.jpg"]


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


def test_boxes_file_gives_boxes_to_its_photos(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/x y.jpg")
    rows = "a/1.jpg,0.1,0.2,0.75,1\nb/x y.jpg,0,0,1,1\n"
    (tmp_path / "boxes.csv").write_text(HEADER + rows)
    listing = list_folder(tmp_path)
    assert [photo.box for photo in listing.photos] == [
        (0.1, 0.2, 0.75, 1.0),
        NO_BOX,
        (0.0, 0.0, 1.0, 1.0),
    ]
    assert listing.strays == []


def test_no_boxes_file_no_boxes(tmp_path):
    assert read_boxes(tmp_path / "boxes.csv") == {}


def test_boxes_are_read_by_column_name(tmp_path):
    """As spreadsheets write them: byte-order mark, CRLF, other order, another column."""
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"\xef\xbb\xbfxmax,xmin,note,ymax,ymin,photo\r\n.4,.2,hi,.3,.1,a/1.jpg\r\n")
    assert read_boxes(path) == {"a/1.jpg": (0.1, 0.2, 0.3, 0.4)}


@pytest.mark.parametrize(
    "row",
    [
        "a/2.jpg,0.5,0,0.4,1",  # upside down
        "a/2.jpg,0,0.5,1,0.4",
        "a/2.jpg,0,0,1.1,1",  # pixels, perhaps
        "a/2.jpg,-0.1,0,1,1",
        "a/2.jpg,nan,0,1,1",
        "a/2.jpg,0,0,1,",
        "a/2.jpg,0,0,1",
        "a/2.jpg;0;0;1;1",
        "a/2.jpg,top,0,1,1",
    ],
)
def test_a_bad_box_names_its_file_and_line(row, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "a/1.jpg,0,0,1,1\n" + row + "\n")
    expected = f"{path}, line 3: expected photo,ymin,xmin,ymax,xmax with numbers in [0, 1], got "
    with pytest.raises(UserError, match=f"^{re.escape(expected)}"):
        read_boxes(path)


@pytest.mark.parametrize("header", ["file,ymin,xmin,ymax,xmax", "photo,top,left,bottom,right"])
def test_a_boxes_file_with_other_columns_is_refused(header, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(f"{header}\na/1.jpg,0,0,1,1\n")
    with pytest.raises(UserError, match=r"line 2: expected photo,ymin,xmin,ymax,xmax"):
        read_boxes(path)


def test_a_bad_box_after_an_empty_line_names_the_line_of_the_file(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "\na/1.jpg,0,0,1,2\n")
    with pytest.raises(UserError, match=r"boxes\.csv, line 3: "):
        read_boxes(path)


def test_a_boxes_file_that_is_no_utf8_is_a_user_error(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(HEADER.encode() + b"caf\xe9/1.jpg,0,0,1,1\n")
    with pytest.raises(UserError, match=r"boxes\.csv"):
        read_boxes(path)


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
    assert listing.strays == ["test/stray.jpg"]
    assert listing.empty_folders == ["empty"]


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


@pytest.mark.parametrize("folders", [("train", "test"), ("train", "val", "validation", "test")])
def test_a_folder_split_otherwise_is_refused(folders, tmp_path):
    touch(tmp_path, *(f"{folder}/a/1.jpg" for folder in folders))
    expected = (
        f"{tmp_path} looks split already, with {', '.join(sorted(folders))}. Expected exactly train"
    )
    with pytest.raises(UserError, match=re.escape(expected)):
        list_folder(tmp_path)
