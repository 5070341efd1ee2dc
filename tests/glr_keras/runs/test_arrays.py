"""Files of arrays."""

import numpy as np
import pytest

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
    save_arrays(tmp_path / "a.npys", iter(ARRAYS))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npys"]
    return load_arrays(tmp_path / "a.npys")


def test_arrays_come_back_in_order(stored):
    for found, array in zip(stored, ARRAYS, strict=True):
        assert (found.dtype, found.shape, found.nbytes) == (array.dtype, array.shape, array.nbytes)
        np.testing.assert_array_equal(found.read(), array)


@pytest.mark.parametrize("piece_bytes", [1, 24, 1000])
def test_pieces_fill_the_array(stored, monkeypatch, piece_bytes):
    monkeypatch.setattr(arrays, "PIECE_BYTES", piece_bytes)
    for found, array in zip(stored[::3], ARRAYS[::3], strict=True):
        filled = np.full_like(array, 99)
        for rows, values in found.pieces():
            filled[rows] = values
        np.testing.assert_array_equal(filled, array)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    save_arrays(tmp_path / "a.npys", ARRAYS)

    def broken():
        yield np.ones(3)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        save_arrays(tmp_path / "a.npys", broken())
    assert len(load_arrays(tmp_path / "a.npys")) == len(ARRAYS)
