"""Tables beside records: read row by row, and named where they are damaged."""

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.tables import SOURCES, read_table


def write(folder, data):
    path = folder / SOURCES
    path.write_bytes(data)
    return path


def test_rows_come_by_the_names_of_their_columns(tmp_path):
    path = write(tmp_path, b'photo,file\na.jpg,00\n"b, c.jpg",0f\n')
    assert list(read_table(path)) == [
        {"photo": "a.jpg", "file": "00"},
        {"photo": "b, c.jpg", "file": "0f"},
    ]
    assert list(read_table(path, lambda row: bytes.fromhex(row["file"]))) == [b"\0", b"\x0f"]


@pytest.mark.parametrize(
    "data",
    [
        b"photo\na.jpg\n",
        b"photo,file\na.jpg\n",
        b"photo,file\na.jpg,0g\n",
        b"photo,file\n\xff.jpg,00\n",
        b"photo,file\na.jpg," + b"0" * 200_000 + b"\n",
        None,
    ],
)
def test_a_damaged_table_is_named_with_the_command_that_says_more(tmp_path, data):
    path = tmp_path / SOURCES if data is None else write(tmp_path, data)
    with pytest.raises(UserError, match=rf"{path} can't be read \(.*tfrecords\.check {tmp_path}"):
        list(read_table(path, lambda row: bytes.fromhex(row["file"])))
