"""What near-duplicates are compared by: tiny grey pictures, their hashes, their correlation.

Reference:
- The hash, low frequencies of a discrete cosine transform against their median:
  [Zauner, 2010](https://www.phash.org/docs/pubs/thesis_zauner.pdf)
"""

import io
import itertools

import numpy as np
from PIL import Image

SIDE = 20  # pixels of the tiny picture
FREQUENCIES = 8  # of the hash, per axis: 63 bits without the mean
MIN_CORRELATION = 0.92  # first pair of different photos among 12 million: 0.88
GRID = 16  # pixels to correlate, per axis
HASHED_PHOTOS = 1 << 12  # worked on in one go: bounds the memory
CORRELATED_PAIRS = 1 << 10  # in one go, for the same reason

Window = tuple[tuple[float, float], tuple[float, float]]  # rows and columns, in [0, 1]
WHOLE = (0.0, 1.0)


def _windows():
    """Crops that a copy may be of: whole, and 5 and 10 percent off the middle, a side, a corner."""
    windows = [(WHOLE, WHOLE)]
    for cut in (0.05, 0.1):
        low, high, middle = (cut, 1.0), (0.0, 1 - cut), (cut / 2, 1 - cut / 2)
        sides = [(low, WHOLE), (high, WHOLE), (WHOLE, low), (WHOLE, high)]
        windows += [(middle, middle), *sides, *itertools.product((low, high), repeat=2)]
    return windows


WINDOWS = _windows()


def fingerprint(jpeg: bytes) -> bytes:
    """Returns the fingerprint of a prepared photo: its luminance in 20 x 20 bytes.

    Args:
        jpeg: Bytes that `tfrecords.images.convert.prepare_photo` made.
    """
    photo = Image.open(io.BytesIO(jpeg))
    width, height = photo.size
    _, scaled = photo.draft("L", (2 * SIDE, 2 * SIDE)) or (None, (0, 0, width, height))
    photo.load()
    # The last row and column of a picture that was scaled while it was decoded may be padding.
    tiny = photo.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, box=scaled)
    return tiny.tobytes()


def are_copies(
    pictures: np.ndarray, ones: np.ndarray, others: np.ndarray, window: Window
) -> np.ndarray:
    """Says of which pairs the first picture, cropped to `window`, correlates with the second.

    Args:
        pictures: uint8 array `(pictures, SIDE, SIDE)`.
        ones, others: Int arrays `(pairs,)`, places of the two in `pictures`.
        window: One of WINDOWS.

    Returns:
        Bool array `(pairs,)`.
    """
    found = np.zeros(len(ones), bool)
    for start in range(0, len(ones), CORRELATED_PAIRS):
        some = slice(start, start + CORRELATED_PAIRS)
        cropped = _normalised(pictures[ones[some]], window)
        whole = _normalised(pictures[others[some]], WINDOWS[0])
        found[some] = (cropped * whole).sum(axis=1) >= MIN_CORRELATION
    return found


def _normalised(pictures, window):
    rows, columns = (_means(*side) for side in window)
    grids = (rows @ pictures.astype(np.float64) @ columns.T).reshape(-1, GRID**2)
    grids -= grids.mean(axis=1, keepdims=True)
    return grids / np.maximum(np.linalg.norm(grids, axis=1, keepdims=True), 1e-12)


def _means(low, high):
    """Fraction of each pixel in each of GRID equal parts of [low, high]: `(GRID, SIDE)`."""
    parts = low + (high - low) * np.arange(GRID + 1) / GRID
    edges = np.arange(SIDE + 1) / SIDE
    return np.array([np.diff(np.clip(edges, *part)) for part in itertools.pairwise(parts)])


def batches(items: np.ndarray) -> list[np.ndarray]:
    """Cuts an array into parts small enough to be worked on as floating-point numbers."""
    return np.array_split(items, len(items) // HASHED_PHOTOS + 1)


def contrasts(pictures: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each picture in grey levels: float `(pictures,)`."""
    flat = pictures.reshape(-1, SIDE * SIDE)
    return np.concatenate([part.std(axis=1) for part in batches(flat)])


def perceptual_hashes(pictures: np.ndarray, window: Window) -> np.ndarray:
    """Returns a 63-bit number for each picture cropped to `window`: uint64 `(pictures,)`.

    Args:
        pictures: uint8 array `(pictures, SIDE, SIDE)`, so few that they fit into memory as float64.
        window: One of WINDOWS.
    """
    rows, columns = (_cosines(*side) for side in window)
    waves = rows @ pictures.astype(np.float64) @ columns.T
    waves = waves.reshape(-1, FREQUENCIES**2)[:, 1:]  # without the mean: brightness says nothing
    bits = waves > np.median(waves, axis=1, keepdims=True)
    packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)


def _cosines(low, high):
    """Integrals of cosines over each pixel's part of [low, high]: `(FREQUENCIES, SIDE)`."""
    edges = (np.clip(np.arange(SIDE + 1) / SIDE, low, high) - low) / (high - low)
    waves = [np.sin(np.pi * n * edges) / (np.pi * n) for n in range(1, FREQUENCIES)]
    return np.diff([edges, *waves])
