"""Files of arrays."""

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from glr_keras.runs import arrays
from glr_keras.runs.arrays import load_arrays, save_arrays

ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(4, 3),
    np.array(7, np.int64),
    np.zeros((0, 5), np.float32),
    np.arange(5, dtype=np.uint32),
]


@pytest.fixture
def stored(tmp_path):
    save_arrays(tmp_path / "a.safetensors", iter(ARRAYS))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    return load_arrays(tmp_path / "a.safetensors")


def test_arrays_come_back_in_order(stored):
    for found, array in zip(stored, ARRAYS, strict=True):
        assert found.shape == array.shape
        values = found.read()
        assert values.dtype == array.dtype
        np.testing.assert_array_equal(values, array)


@pytest.mark.parametrize("piece_bytes", [1, 24, 1000])
def test_pieces_fill_the_array(stored, monkeypatch, piece_bytes):
    monkeypatch.setattr(arrays, "PIECE_BYTES", piece_bytes)
    for found, array in zip(stored[::3], ARRAYS[::3], strict=True):
        filled = np.full_like(array, 99)
        for rows, values in found.pieces():
            filled[rows] = values
        np.testing.assert_array_equal(filled, array)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    save_arrays(tmp_path / "a.safetensors", ARRAYS)

    def broken():
        yield np.ones(3)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        save_arrays(tmp_path / "a.safetensors", broken())
    assert len(load_arrays(tmp_path / "a.safetensors")) == len(ARRAYS)


def test_arrays_that_are_not_contiguous_are_stored_by_value(tmp_path):
    array = np.arange(12.0).reshape(3, 4).T
    save_arrays(tmp_path / "a.safetensors", [array])
    np.testing.assert_array_equal(load_arrays(tmp_path / "a.safetensors")[0].read(), array)


@pytest.mark.parametrize("size", [0, 7, 60, -1])
def test_a_truncated_file_is_refused(stored, size):
    path = stored[0].path
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SafetensorError):
        load_arrays(path)


def test_a_flipped_bit_is_refused(stored):
    path = stored[0].path
    whole = path.read_bytes()
    start = len(whole) - 12 * 4 - 8 - 5 * 4  # of the values
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(SafetensorError, match="1 arrays do not fit their checksums"):
            load_arrays(path)
    path.write_bytes(whole.replace(b'"U32"', b'"I32"'))
    with pytest.raises(SafetensorError, match="1 arrays do not fit their checksums"):
        load_arrays(path)


def test_a_file_of_an_earlier_version_has_no_checksums(tmp_path):
    save_file({"000000": ARRAYS[0]}, tmp_path / "a.safetensors")
    (found,) = load_arrays(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found.read(), ARRAYS[0])


@pytest.mark.parametrize("piece_bytes", [1, 24, 1000])
def test_checksums_do_not_depend_on_the_size_of_pieces(stored, monkeypatch, piece_bytes):
    monkeypatch.setattr(arrays, "PIECE_BYTES", piece_bytes)
    assert len(load_arrays(stored[0].path)) == len(ARRAYS)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "a.safetensors")
