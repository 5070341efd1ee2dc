"""The challenge's CSV files: the forms they come in, and what is wrong with them, by line."""

import csv
import gc
import re

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import REASONS, Photo, Skipped
from tfrecords.sources.challenge_csv import CsvIndex, distinct_names, read_index, read_names

A, B, C, D = (f"{digit * 16}" for digit in "abcd")
URL = "http://example.org/1.jpg"
TWO = f"id,url,landmark_id\n{A},{URL},5\n{B},{URL},6\n"  # lines 1 to 3


@pytest.fixture
def read(tmp_path):
    """Writes `content` to a file and reads it as an index."""

    def read(content, with_urls=False):
        return read_index(written(tmp_path, content), with_urls)

    return read


def written(folder, content, name="train.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path, message, with_urls=False):
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        read_index(path, with_urls)


def test_the_form_of_2018_with_urls(read):
    content = f'"id","url","landmark_id"\n"{A}","{URL}","5"\n"{B}","https://b/","6"\n'
    assert read(content, with_urls=True) == CsvIndex(
        photos=[Photo(A, "5", URL), Photo(B, "6", "https://b/")], skipped=[]
    )
    assert read(content).photos == [Photo(A, "5"), Photo(B, "6")]


def test_the_form_without_urls(read):
    assert read(f"id,landmark_id\n{A},5\n{B},6\n").photos == [Photo(A, "5"), Photo(B, "6")]


def test_the_form_of_v2_clean(read):
    index = read(f"landmark_id,images\n6,{A} {B}\n5,{C}\n")
    assert index == CsvIndex([Photo(A, "6"), Photo(B, "6"), Photo(C, "5")], [])


def test_columns_in_any_order_with_others_beside_them(read):
    content = f'landmark_id,note,url,id\n5,"a, b",{URL},{A}\n6,,{URL},{B}\n'
    assert read(content, with_urls=True).photos == [Photo(A, "5", URL), Photo(B, "6", URL)]
    content = f"images,size,landmark_id\n{A} {B},2,5\n"
    assert read(content).photos == [Photo(A, "5"), Photo(B, "5")]


def test_a_file_with_ids_and_images_is_read_by_id(read):
    assert read(f"id,landmark_id,images\n{A},5,{B}\n{C},6,\n").photos == [
        Photo(A, "5"),
        Photo(C, "6"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + TWO,
        TWO.replace("\n", "\r\n"),
        TWO.replace("\n", "\r"),
        TWO.rstrip("\n"),
        "\n" + TWO.replace("\n", "\n\n") + "\n  \n",
        TWO.replace(",", ", "),
        TWO.replace("id,url", " id , url "),
    ],
    ids=["BOM", "CRLF", "CR", "no last newline", "blank lines", "spaces", "header"],
)
def test_what_editors_and_spreadsheets_make_of_it(content, read):
    assert read(content, with_urls=True) == CsvIndex([Photo(A, "5", URL), Photo(B, "6", URL)], [])


def test_quoted_commas_and_quotes_in_urls(read):
    content = f'id,url,landmark_id\n{A},"http://x/a,b.jpg",5\n{B},"http://x/""c"".jpg",6\n'
    content += f'{C},http://x/"d".jpg,7\n'
    assert [photo.location for photo in read(content, with_urls=True).photos] == [
        "http://x/a,b.jpg",
        'http://x/"c".jpg',
        'http://x/"d".jpg',
    ]


def test_line_breaks_in_a_user_s_own_column(read):
    content = f'id,caption,landmark_id\n{A},"two\nlines",5\n{B},x,None\n{C},x,6\n'
    index = read(content)
    assert index.photos == [Photo(A, "5"), Photo(C, "6")]
    assert [row.detail[:7] for row in index.skipped] == ["line 4:"]


def test_landmark_ids_are_numbers_as_text_and_shared(read):
    photos = read(f"id,landmark_id\n{A},1234567\n{B},01234567\n{C}, 1234567 \n").photos
    assert [photo.landmark_id for photo in photos] == ["1234567"] * 3
    assert len({id(photo.landmark_id) for photo in photos}) == 1


def test_a_landmark_may_have_more_images_than_csv_s_own_limit_allows(read):
    ids = [f"{number:016x}" for number in range(20_000)]
    images = " ".join(ids)
    assert len(images) > 2 * csv.field_size_limit()
    photos = read(f"landmark_id,images\n5,{images}\n").photos
    assert [photo.photo_id for photo in photos] == ids


def test_csv_s_limit_and_the_garbage_collector_are_left_as_they_were(read):
    before = csv.field_size_limit()
    read(TWO)
    with pytest.raises(UserError):
        read("")
    assert csv.field_size_limit() == before
    assert gc.isenabled()
    gc.disable()
    try:
        read(TWO)
        assert not gc.isenabled()
    finally:
        gc.enable()


def skipped(read, *rows, with_urls=False):
    """What becomes of `rows`, from line 4 on; the photos of lines 2 and 3 are always there."""
    index = read(TWO + "".join(f"{row}\n" for row in rows), with_urls)
    assert [photo.photo_id for photo in index.photos] == [A, B]
    assert {row.reason for row in index.skipped} <= set(REASONS)
    return index.skipped


@pytest.mark.parametrize(
    ("row", "photo_id", "problem"),
    [
        (f"{C},5", "line 4", "expected 3 fields, got 2"),
        (f"{C},{URL},5,6", "line 4", "expected 3 fields, got 4"),
        (f"{C};{URL};5", "line 4", "expected 3 fields, got 1"),
        (f"{C},{URL},None", C, 'expected a whole number as landmark_id, got "None"'),
        (f"{C},{URL},", C, 'expected a whole number as landmark_id, got ""'),
        (f"{C},{URL},5.0", C, 'expected a whole number as landmark_id, got "5.0"'),
        (f"{C},{URL},-5", C, 'expected a whole number as landmark_id, got "-5"'),
        (f"{C},{URL},1_000", C, 'expected a whole number as landmark_id, got "1_000"'),
        (f"{C},{URL},٣", C, 'expected a whole number as landmark_id, got "٣"'),
        (f"{C},{URL},5\0", C, 'expected a whole number as landmark_id, got "5\\x00"'),
        (
            f"{C},{URL},{'9' * 5000}",
            C,
            f'expected a whole number as landmark_id, got "{"9" * 100}..."',
        ),
        (",,", "line 4", 'expected a whole number as landmark_id, got ""'),
        (f"{C},{'x' * 10_001},5", "line 4", "field larger than field limit (10000)"),
        (f'{C},"{URL}"x,5', "line 4", "',' expected after '\"'"),
        (f'{C},"{URL},5', "line 4", "unexpected end of data"),
    ],
)
def test_rows_that_cannot_be_understood(row, photo_id, problem, read):
    assert skipped(read, row) == [Skipped(photo_id, "bad row", f"line 4: {problem}")]


@pytest.mark.parametrize(
    ("photo_id", "shown"),
    [
        ("../../etc/passwd", "../../etc/passwd"),
        ("/etc/passwd", "/etc/passwd"),
        ("a\\b", "a\\b"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\0b", "a\\x00b"),
        ("x" * 5000, "x" * 100 + "..."),
        ("", "line 4"),
    ],
)
def test_ids_that_are_no_file_names(photo_id, shown, read):
    assert skipped(read, f"{photo_id},{URL},5") == [
        Skipped(shown, "unsafe name", "line 4: expected a plain file name as id")
    ]


@pytest.mark.parametrize(
    ("url", "shown"), [("", ""), ("None", "None"), ("http://a\0b/", "http://a\\x00b/")]
)
def test_rows_without_a_url(url, shown, read):
    assert skipped(read, f"{C},{url},5", with_urls=True) == [
        Skipped(C, "bad address", f'line 4: expected a URL, got "{shown}"')
    ]


def test_urls_are_not_looked_at_where_none_are_needed(read):
    assert read(TWO + f"{C},None,7\n").photos[2] == Photo(C, "7")


def test_each_bad_row_names_its_own_line(read):
    rows = [f"{C},{URL}", "", f"{C},{URL},None", f"{C},{'x' * 20_000},5", f"../{C},{URL},5"]
    assert [row.detail.partition(":")[0] for row in skipped(read, *rows)] == [
        "line 4",
        "line 6",
        "line 7",
        "line 8",
    ]


def test_rows_of_v2_clean_that_cannot_be_used(read):
    index = read(f"landmark_id,images\n5,{A} ../x  {B}\n6,\nx,{C}\n7\n")
    assert index.photos == [Photo(A, "5"), Photo(B, "5")]
    assert sorted(index.skipped, key=lambda row: row.detail) == [
        Skipped("../x", "unsafe name", "line 2: expected a plain file name as id"),
        Skipped("line 3", "bad row", "line 3: no images of landmark 6"),
        Skipped("line 4", "bad row", 'line 4: expected a whole number as landmark_id, got "x"'),
        Skipped("line 5", "bad row", "line 5: expected 2 fields, got 1"),
    ]


def test_of_rows_with_the_same_id_and_landmark_the_first_counts(read):
    index = read(TWO + f"{A},http://other/2.jpg,05\n{C},{URL},7\n{A},{URL},5\n", with_urls=True)
    assert index.photos == [Photo(A, "5", URL), Photo(B, "6", URL), Photo(C, "7", URL)]
    assert index.skipped == [
        Skipped(A, "repeated id", "line 4: first in line 2"),
        Skipped(A, "repeated id", "line 6: first in line 2"),
    ]


def test_an_id_under_two_landmarks_is_dropped_from_both(read):
    index = read(TWO + f"{A},{URL},9\n{A},{URL},5\n{C},{URL},7\n{C},{URL},7\n")
    assert index.photos == [Photo(B, "6"), Photo(C, "7")]
    assert index.skipped == [
        Skipped(A, "two landmarks", "line 2: landmark 5, line 4: landmark 9"),
        Skipped(A, "two landmarks", "line 4: landmark 9, line 2: landmark 5"),
        Skipped(A, "two landmarks", "line 5: landmark 5, line 4: landmark 9"),
        Skipped(C, "repeated id", "line 7: first in line 6"),
    ]


def test_a_bad_row_does_not_count_as_the_first_of_its_id(read):
    index = read(f"id,url,landmark_id\n{A},None,5\n{A},{URL},6\n{B},{URL},6\n", with_urls=True)
    assert index.photos == [Photo(A, "6", URL), Photo(B, "6", URL)]
    assert [row.reason for row in index.skipped] == ["bad address"]


def test_repeated_images_of_v2_clean(read):
    index = read(f"landmark_id,images\n5,{A} {B} {A}\n6,{C} {B}\n")
    assert index.photos == [Photo(A, "5"), Photo(C, "6")]
    assert index.skipped == [
        Skipped(A, "repeated id", "line 2: first in line 2"),
        Skipped(B, "two landmarks", "line 2: landmark 5, line 3: landmark 6"),
        Skipped(B, "two landmarks", "line 3: landmark 6, line 2: landmark 5"),
    ]


def test_rows_read_are_rows_kept_and_rows_skipped(read):
    content = TWO + "".join(
        f"{i % 700:016x},{URL},{i % 7 if i % 11 else 'None'}\n" for i in range(5000)
    )
    index = read(content)
    assert len(index.photos) + len(index.skipped) == 5002
    assert len({photo.photo_id for photo in index.photos}) == len(index.photos) > 600


QUOTE = "expected one row per line, but a quotation mark there is still open in line"


@pytest.mark.parametrize(
    ("bad", "after", "end"),
    [
        (f'{C},"{URL},5', f"{D},{URL},7\n" * 3, 7),  # to the end of the file
        (f'{C},"{URL},5', f"{D},{URL},7\n" * 5000, 231),  # longer than any field may be
        (f'"{C},{URL},5', f'{D},"{URL}",7\n', 5),  # to the next quotation mark
        (f'{C},"{URL},5', f'{D},{URL}",7\n', 5),  # ... with as many fields as there should be
        (f'{C},{URL},"5', f'{D},{URL},7"\n', 5),
    ],
)
def test_a_quote_never_closed_loses_no_rows_silently(bad, after, end, tmp_path):
    path = written(tmp_path, TWO + bad + "\n" + after)
    message = f"{path}, line 4: {QUOTE} {end}. Close or delete it."
    refused(path, message)
    refused(path, message, with_urls=True)


def test_a_quote_never_closed_in_v2_clean(tmp_path):
    path = written(tmp_path, f'landmark_id,images\n5,{A}\n6,"{B}\n7,{C}\n8,{D}\n')
    refused(path, f"{path}, line 3: {QUOTE} 5. Close or delete it.")


def test_a_quote_never_closed_in_the_header(tmp_path):
    path = written(tmp_path, '"id,url,landmark_id\n' + f"{A},{URL},5\n" * 1000)
    refused(
        path,
        f"{path}: expected the names of columns in its first line, got no CSV (field larger than "
        "field limit (10000)). Correct that line.",
    )


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n  \n"])
def test_an_empty_file(content, tmp_path):
    path = written(tmp_path, content)
    refused(path, f"{path} is empty. Expected a CSV file: copy it here once more.")


def test_a_file_with_nothing_but_a_header(tmp_path):
    path = written(tmp_path, "id,landmark_id\n")
    refused(path, f"{path} names its columns and lists no photo. Expected a row for each photo.")


def test_a_file_without_one_usable_row(tmp_path):
    path = written(tmp_path, f"id,landmark_id\n{A},None\n../x,5\n{B},None\n")
    refused(
        path,
        f"{path}: expected rows of photos, got none that can be used (2 x bad row, 1 x unsafe "
        'name). The first is bad row: line 2: expected a whole number as landmark_id, got "None".',
    )


OTHERS = "(or landmark_id,images, or filename,label)"
NAMED = "Write the names of the columns into its first line."


@pytest.mark.parametrize(
    ("header", "with_urls", "message"),
    [
        (
            "id,place",
            False,
            f"id,landmark_id {OTHERS}, got id,place. {NAMED}",
        ),
        (
            f"{A},{URL},5",
            True,
            f"id,url,landmark_id, got {A},{URL},5. Without URLs nothing can be downloaded: say "
            "where the photos are instead.",
        ),
        (
            "id,landmark_id",
            True,
            "id,url,landmark_id, got id,landmark_id. Without URLs nothing can be downloaded: say "
            "where the photos are instead.",
        ),
        (
            "landmark_id,images",
            True,
            "id,url,landmark_id, got landmark_id,images. Without URLs nothing can be downloaded: "
            "say where the photos are instead.",
        ),
        ("url,landmark_id", True, f"id,url,landmark_id, got url,landmark_id. {NAMED}"),
        ("images", False, f"landmark_id,images, got images. {NAMED}"),
        (
            "id,id,landmark_id",
            False,
            f"id,landmark_id {OTHERS}, got id,id,landmark_id. {NAMED}",
        ),
        (
            "id;url;landmark_id",
            True,
            "id,url,landmark_id, got id;url;landmark_id. Its columns are separated by semicolons: "
            "save it with commas.",
        ),
        (
            "id\tlandmark_id",
            False,
            f"id,landmark_id {OTHERS}, got id\\tlandmark_id. Its columns are "
            "separated by tabs: save it with commas.",
        ),
        (
            "x" * 200,
            False,
            f"id,landmark_id {OTHERS}, got {'x' * 100}.... {NAMED}",
        ),
    ],
)
def test_other_columns(header, with_urls, message, tmp_path):
    path = written(tmp_path, f"{header}\n{A},{URL},5\n")
    refused(path, f"{path}: expected the columns {message}", with_urls)


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        (TWO.encode() + b"\n" + C.encode() + b",http://x/caf\xe9.jpg,5\n", 5, "0xe9"),
        (TWO.encode() * 500 + b"\xff", 1501, "0xff"),
        (TWO.encode("utf-16"), 1, "0xff"),
        (b"id,landmark_id\r\n\x80,5\r\n", 2, "0x80"),
        (b"\xef\xbb\xbfid,landmark_id\n\xc3", 2, "0xc3"),
    ],
)
def test_a_file_that_is_no_utf8_names_the_line(content, line, byte, tmp_path):
    path = written(tmp_path, content)
    refused(
        path,
        f"{path}, line {line}: expected UTF-8, got the byte {byte}. Save the file as UTF-8.",
    )


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "x.csv"
    check = "Expected a CSV file: check its name."
    refused(path, f"Can't read {path} (No such file or directory). {check}")
    refused(tmp_path, f"Can't read {tmp_path} (Is a directory). {check}")


PAGE = "http://commons.wikimedia.org/wiki/Category:"


def names(tmp_path, content):
    return read_names(written(tmp_path, content, "names.csv"))


def test_names_are_titles_of_wikimedia_pages(tmp_path):
    content = (
        "landmark_id,category\n"
        f"1,{PAGE}Eiffel_Tower\n"
        f'02,"{PAGE}Church_of_Saint_Mary,_Old_Town"\n'
        f"3,{PAGE}Caf%C3%A9_%2F_Bar\n"
        "4,https://en.wikipedia.org/wiki/Big_Ben\n"
        "5, Plain_name of 100%25 \n"
        "6,\n"
        f"7,{PAGE}故宫\n"
    )
    assert names(tmp_path, content) == {
        "1": "Eiffel Tower",
        "2": "Church of Saint Mary, Old Town",
        "3": "Café / Bar",
        "4": "Big Ben",
        "5": "Plain_name of 100%25",
        "7": "故宫",
    }


def test_names_of_the_hierarchical_file(tmp_path):
    header = "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n"
    row = f"1,{PAGE}Old_Mill,mill,watermill,human-made\n"
    assert names(tmp_path, header + row) == {"1": "Old Mill"}


def test_a_name_twice_is_fine_two_names_are_not(tmp_path):
    content = f"landmark_id,category\n1,{PAGE}A_b\n1,{PAGE}A%20b\n2,B\n1,C\n"
    assert names(tmp_path, content[: -len("1,C\n")]) == {"1": "A b", "2": "B"}
    with pytest.raises(
        UserError,
        match=r"names\.csv, line 5: landmark 1 is called 'C', but 'A b' in line 2\. Correct",
    ):
        names(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"names\.csv is empty\."),
        (
            "landmark_id,name\n1,x\n",
            r"expected the columns landmark_id,category, got landmark_id,n",
        ),
        ("landmark_id;category\n1;x\n", r"separated by semicolons"),
        (
            "landmark_id,category\n1,a\nx,b\n",
            r"line 3: expected a whole number as landmark_id, got",
        ),
        (
            "landmark_id,category\n1,a,b\n",
            r"line 2: expected 2 fields, got 3\. Correct or delete that",
        ),
        ('landmark_id,category\n1,"a\n2,b\n', r"line 2: .* a quotation mark there is still open"),
        (b"landmark_id,category\n1,caf\xe9\n", r"line 2: expected UTF-8, got the byte 0xe9\."),
    ],
)
def test_a_file_of_names_with_something_wrong(content, message, tmp_path):
    with pytest.raises(UserError, match=message):
        names(tmp_path, content)


def test_a_file_of_names_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^Can't read .*x\.csv \(No such file or directory\)\. "):
        read_names(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, ["5", "7", "12"]),
        ({"5": "Tower", "7": "Bridge", "9": "Arch"}, ["Tower", "Bridge", "12"]),
        ({"5": "Tower", "12": "Tower"}, ["Tower (5)", "7", "Tower (12)"]),
        ({"5": " Tower ", "7": "", "12": "  "}, ["Tower", "7", "12"]),
        ({"5": "Tower", "7": " Tower"}, ["Tower (5)", "Tower (7)", "12"]),
        ({"5": "7"}, ["7 (5)", "7", "12"]),
        ({"5": "A", "7": "A", "12": "A (5)"}, ["A (5) (5)", "A (7)", "A (5) (12)"]),
        ({"5": "Old\nTower", "7": "Old Tower"}, ["Old\\nTower", "Old Tower", "12"]),
    ],
)
def test_each_landmark_has_a_name_of_its_own(known, expected):
    assert distinct_names(["5", "7", "12"], known) == expected


def test_names_of_landmarks_that_are_listed_twice_are_refused():
    with pytest.raises(ValueError, match=r"^Expected each landmark_id once\.$"):
        distinct_names(["5", "5"], {})
