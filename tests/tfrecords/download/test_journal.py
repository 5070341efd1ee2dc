"""The journal of downloads survives kills, and belongs to one process at a time."""

import os

import pytest

from tfrecords.common.console import UserError
from tfrecords.download.journal import Outcome, OutcomeJournal

HEADER = b"photo_id,url,outcome,detail,bytes\n"
GOOD = Outcome("a", "http://x/a,1.jpg", "ok", "", 12)
GONE = Outcome("b", 'http://x/"b"', "not found", "HTTP 404", 0)


def test_what_is_written_is_read(tmp_path):
    with OutcomeJournal(tmp_path / "new" / "folder") as journal:
        journal.add(GOOD)
    with OutcomeJournal(tmp_path / "new" / "folder") as journal:
        journal.add(GONE)
        assert list(journal.read()) == [GOOD, GONE]
    text = (tmp_path / "new" / "folder" / "downloads.csv").read_bytes()
    assert text == HEADER + (
        b'a,"http://x/a,1.jpg",ok,,12\nb,"http://x/""b""",not found,HTTP 404,0\n'
    )


def test_a_line_is_on_its_way_to_the_disk_at_once(tmp_path):
    with OutcomeJournal(tmp_path) as journal:
        journal.add(GOOD)
        assert (tmp_path / "downloads.csv").read_bytes().endswith(b",ok,,12\n")


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_truncated_last_line_is_dropped(tmp_path, cut):
    with OutcomeJournal(tmp_path) as journal:
        journal.add(GOOD)
        journal.add(GONE)
    path = tmp_path / "downloads.csv"
    os.truncate(path, path.stat().st_size - cut)
    with OutcomeJournal(tmp_path) as journal:
        assert list(journal.read()) == [GOOD]
        journal.add(GONE)
        assert list(journal.read()) == [GOOD, GONE]


@pytest.mark.parametrize("size", range(len(HEADER)))
def test_a_truncated_first_line_is_written_again(tmp_path, size):
    (tmp_path / "downloads.csv").write_bytes(HEADER[:size])
    with OutcomeJournal(tmp_path) as journal:
        assert list(journal.read()) == []
    assert (tmp_path / "downloads.csv").read_bytes() == HEADER


def test_a_truncated_line_is_dropped_from_a_long_journal(tmp_path):
    with OutcomeJournal(tmp_path) as journal:
        for _ in range(5_000):
            journal.add(GONE)
    with open(tmp_path / "downloads.csv", "ab") as file:
        file.write(b"a,http://x/a")
    with OutcomeJournal(tmp_path) as journal:
        assert list(journal.read()) == [GONE] * 5_000


@pytest.mark.parametrize("line", [b"a,http://x\n", b"a,http://x,ok,,many\n", b"\xff,x,1\n"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "downloads.csv").write_bytes(HEADER + b"a,http://x,ok,,1\n" + line)
    with (
        OutcomeJournal(tmp_path) as journal,
        pytest.raises(UserError, match=r"downloads\.csv, line 3: expected photo_id,url,outcome,"),
    ):
        list(journal.read())


@pytest.mark.parametrize("text", [b"my list of downloads", b"photo_id,url\n", b"\0\n"])
def test_a_file_of_the_user_is_left_alone(tmp_path, text):
    (tmp_path / "downloads.csv").write_bytes(text)
    with pytest.raises(UserError, match=r"downloads\.csv is in the way: expected what an earlier"):
        OutcomeJournal(tmp_path).__enter__()
    assert (tmp_path / "downloads.csv").read_bytes() == text


def test_a_second_process_is_refused(tmp_path):
    with OutcomeJournal(tmp_path):
        with pytest.raises(UserError, match=r"Another process is fetching photos into .* Wait for"):
            OutcomeJournal(tmp_path).__enter__()
        with OutcomeJournal(tmp_path / "elsewhere"):
            pass
    with OutcomeJournal(tmp_path):
        pass


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"Can't write to .*file/photos \(Not a directory\)"):
        OutcomeJournal(tmp_path / "file" / "photos").__enter__()
