"""An index of paths and names: what people have who never saw Google Landmarks."""

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.sources.challenge_csv import read_index


@pytest.fixture
def read(tmp_path):
    def read(text, with_urls=False, encoding="utf-8"):
        (tmp_path / "index.csv").write_text(text, encoding=encoding)
        return read_index(tmp_path / "index.csv", with_urls)

    return read


@pytest.mark.parametrize(
    "header",
    [
        "filename,label",
        "File,Class",
        "path,landmark",
        "image,label",
        "image_path,landmark_id",
        "id,label",
        "filename,landmark_name",
    ],
)
def test_the_columns_have_their_usual_names(header, read):
    index = read(f"{header}\na/1.jpg,Eiffel Tower\n2.jpg,Petra\n")
    assert index.photos == [
        Photo("a/1.jpg", "Eiffel Tower", "a/1.jpg"),
        Photo("2.jpg", "Petra", "2.jpg"),
    ]
    assert index.names_files
    assert index.skipped == []


def test_other_columns_stand_anywhere_and_the_clearest_one_counts(read):
    index = read("image,note,label,id,filename\nx,y,tower,7,a.jpg\n", encoding="utf-8-sig")
    assert index.photos == [Photo("a.jpg", "tower", "a.jpg")]


def test_paths_of_windows_and_labels_of_a_mac_are_understood(read):
    text = (
        'filename,label\n.\\a\\1.jpg,e\u0301glise\n./b/2.jpg," \u00e9glise "\n"c, d.jpg","#1, x"\n'
    )
    photos = read(text).photos
    assert [photo.photo_id for photo in photos] == ["a/1.jpg", "b/2.jpg", "c, d.jpg"]
    assert [photo.landmark_id for photo in photos] == ["\u00e9glise", "\u00e9glise", "#1, x"]


def test_rows_that_cannot_be_used_have_a_reason(read):
    index = read("filename,label\n../a.jpg,x\n/b.jpg,x\nc.jpg,\nd.jpg,x,y\ne.jpg,x\ne.jpg,x\n,x\n")
    assert index.photos == [Photo("e.jpg", "x", "e.jpg")]
    assert [(row.photo_id, row.reason) for row in index.skipped] == [
        ("../a.jpg", "unsafe name"),
        ("/b.jpg", "unsafe name"),
        ("c.jpg", "bad row"),
        ("line 5", "bad row"),
        ("line 8", "unsafe name"),
        ("e.jpg", "repeated id"),
    ]


def test_a_photo_with_two_labels_is_dropped(read):
    index = read("filename,label\na.jpg,x\n.\\a.jpg,y\nb.jpg,x\n")
    assert index.photos == [Photo("b.jpg", "x", "b.jpg")]
    assert index.skipped == [
        Skipped("a.jpg", "two landmarks", "line 2: landmark x, line 3: landmark y"),
        Skipped("a.jpg", "two landmarks", "line 3: landmark y, line 2: landmark x"),
    ]


def test_ids_of_google_landmarks_stay_ids(read):
    index = read("id,landmark_id,filename,label\n7,5,x.jpg,y\n")
    assert index.photos == [Photo("7", "5")]
    assert not index.names_files


def test_a_download_needs_urls(read):
    with pytest.raises(UserError, match="expected the columns id,url,landmark_id, got filename"):
        read("filename,label\na.jpg,x\n", with_urls=True)
