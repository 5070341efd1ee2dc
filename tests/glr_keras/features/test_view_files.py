"""A view's features on disk: what is written is read, and damage is found block by block."""

import errno

import numpy as np
import pytest
from tqdm import tqdm

from glr_keras.features import view_files
from glr_keras.features.view_files import ViewFile
from tfrecords.common.console import UserError
from tfrecords.common.files import warn_corrupted

SHAPE = (10, 2, 1, 3)
BLOCK = 4
HEADER = 128  # bytes of an .npy file before its numbers
BLOCK_BYTES = BLOCK * 2 * 1 * 3 * 2


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("glr_keras.features.view_files.BLOCK", BLOCK)


def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)


def write(file, blocks=(0, 1, 2)):
    for block in blocks:
        file.write_block(block, values()[block * BLOCK : (block + 1) * BLOCK])


@pytest.fixture
def file(tmp_path):
    file = ViewFile(tmp_path / "view-0.npy", SHAPE, b"made in one way")
    write(file)
    return file


def check(file):
    with tqdm(disable=True) as bar:
        missing, damaged = file.check(bar)
    return list(missing), list(damaged)


def flip(path, byte, bit=0):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def test_what_is_written_is_a_plain_npy_file(file):
    stored = np.load(file.path)
    assert (stored.shape, stored.dtype, stored.flags.c_contiguous) == (SHAPE, np.float16, True)
    np.testing.assert_array_equal(stored, values())
    assert file.path.stat().st_size == HEADER + file.nbytes
    assert file.nbytes == 10 * 2 * 3 * 2
    assert file.checksums.name == "view-0.crc32c"
    assert file.checksums.stat().st_size == 4 * file.num_blocks == 12


def test_blocks_in_any_order_make_the_same_files(file, tmp_path):
    (tmp_path / "other").mkdir()
    other = ViewFile(tmp_path / "other" / "view-0.npy", SHAPE, b"made in one way")
    assert check(other) == ([0, 1, 2], [])
    write(other, [2, 0])
    assert check(other) == ([1], [])
    write(other, [1])
    assert check(other) == check(file) == ([], [])
    for mine, its in ((file.path, other.path), (file.checksums, other.checksums)):
        assert mine.read_bytes() == its.read_bytes()


def test_rows_are_read_in_the_order_asked_for(file):
    numbers = [9, 0, 4, 4]
    rows = file.rows(np.array(numbers))
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, values()[numbers])


def test_no_rows_are_an_empty_array(file):
    assert file.rows([]).shape == (0, *file.shape[1:])


def test_a_block_of_another_size_is_no_block(file):
    with pytest.raises(ValueError, match="block 2 takes 24 bytes, not 48"):
        file.write_block(2, values()[:4])


@pytest.mark.parametrize("bit", [0, 5, 7])
@pytest.mark.parametrize("byte", [0, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES, -1])
def test_a_flipped_bit_harms_its_block_only(file, byte, bit):
    whole = file.path.read_bytes()
    place = HEADER + byte if byte >= 0 else len(whole) - 1
    flip(file.path, place, bit)
    block = (place - HEADER) // BLOCK_BYTES
    assert check(file) == ([block], [block])
    write(file, [block])
    assert check(file) == ([], [])
    assert file.path.read_bytes() == whole


@pytest.mark.parametrize("byte", [0, 5, 8])
def test_a_flipped_bit_of_a_checksum_harms_its_block_only(file, byte):
    whole = file.checksums.read_bytes()
    flip(file.checksums, byte)
    assert check(file) == ([byte // 4], [byte // 4])
    write(file, [byte // 4])
    assert file.checksums.read_bytes() == whole


@pytest.mark.parametrize("byte", [0, 7, 9, 60, HEADER - 1])
def test_a_flipped_bit_of_the_header_is_found_and_fixed(file, byte):
    whole = file.path.read_bytes()
    flip(file.path, byte)
    missing, damaged = check(file)
    assert missing == damaged != []
    write(file, missing)
    assert check(file) == ([], [])
    assert file.path.read_bytes() == whole


@pytest.mark.parametrize(
    ("size", "damaged"),
    [
        (HEADER + 2 * BLOCK_BYTES + 23, [2]),
        (HEADER + 2 * BLOCK_BYTES, [2]),
        (HEADER + BLOCK_BYTES + 1, [1, 2]),
        (HEADER, [0, 1, 2]),
        (HEADER - 1, [0, 1, 2]),
        (0, [0, 1, 2]),
    ],
)
def test_a_file_that_was_cut_loses_the_blocks_that_are_not_whole(file, size, damaged):
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:size])
    assert check(file) == (damaged, damaged)
    write(file, damaged)
    assert check(file) == ([], [])
    assert file.path.read_bytes() == whole


# After 8 bytes it looks as after a kill between two blocks: nothing was lost that was noted.
@pytest.mark.parametrize(
    ("size", "missing", "damaged"),
    [(11, [2], [2]), (8, [2], []), (4, [1, 2], []), (3, [0, 1, 2], [0])],
)
def test_checksums_that_were_cut_leave_the_blocks_that_they_cover(file, size, missing, damaged):
    whole = file.checksums.read_bytes()
    file.checksums.write_bytes(whole[:size])
    assert check(file) == (missing, damaged)
    write(file, missing)
    assert check(file) == ([], [])
    assert file.checksums.read_bytes() == whole


@pytest.mark.parametrize("name", ["path", "checksums"])
def test_one_file_without_the_other_is_all_damaged(file, name):
    getattr(file, name).unlink()
    assert check(file) == ([0, 1, 2], [0, 1, 2])


def test_blocks_in_the_wrong_place_and_files_of_another_view_are_found(file, tmp_path):
    data = file.path.read_bytes()
    first, second = (data[HEADER + i * BLOCK_BYTES :][:BLOCK_BYTES] for i in range(2))
    file.path.write_bytes(data[:HEADER] + second + first + data[HEADER + 2 * BLOCK_BYTES :])
    assert check(file) == ([0, 1], [0, 1])
    file.path.write_bytes(data)
    for name, salt in (("view-1.npy", b"made in one way"), ("view-0.npy", b"in another")):
        (tmp_path / "copy").mkdir(exist_ok=True)
        other = ViewFile(tmp_path / "copy" / name, SHAPE, salt)
        other.path.write_bytes(data)
        other.checksums.write_bytes(file.checksums.read_bytes())
        assert check(other) == ([0, 1, 2], [0, 1, 2])


class KilledError(Exception):
    pass


@pytest.mark.parametrize("reached", [0, 10, BLOCK_BYTES])
def test_a_kill_while_a_block_is_written_again_leaves_it_to_do(file, monkeypatch, reached):
    def die(self, block, data):
        with open(self.path, "r+b") as half:  # the kill comes when so many bytes are new
            half.seek(HEADER + block * BLOCK_BYTES + reached)
            half.write(whole[HEADER + block * BLOCK_BYTES + reached :][: BLOCK_BYTES - reached])
        raise KilledError

    whole = file.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(ViewFile, "_checksum", die)
        with pytest.raises(KilledError):
            file.write_block(1, -values()[4:8])
    assert check(file)[0] == [1]
    write(file, [1])
    assert file.path.read_bytes() == whole


@pytest.mark.parametrize("harm", ["delete", "cut"])
def test_features_that_vanish_while_they_are_used_are_named(file, harm):
    if harm == "delete":
        file.path.unlink()
    else:
        file.path.write_bytes(file.path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"view-0\.npy was changed or deleted while it was used .*"):
        file.rows([9])


def test_a_check_that_could_not_be_stored_is_done_again(file, monkeypatch):
    def vanished(path, data):  # taken for what a killed process left
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(view_files, "write_atomically", vanished)
        assert check(file) == ([], [])
    assert not file.path.with_suffix(".verified").exists()
    assert check(file) == ([], [])
    assert file.path.with_suffix(".verified").exists()


def test_damage_is_reported_on_standard_error(file, capsys):
    warn_corrupted(file.path, "3 of 4 blocks are computed again")
    said = f"warning: {file.path} was damaged; 3 of 4 blocks are computed again.\n"
    assert capsys.readouterr() == ("", said)
