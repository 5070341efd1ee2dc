"""Finds copies of one photo: re-encoded, resized, lightly cropped. No TensorFlow here.

A fingerprint is a tiny grey picture. Two photos are copies where the perceptual hash of one equals,
but for a few bits, that of a crop of the other, and the tiny pictures, so aligned, correlate.
`benchmarks/duplicates.py` measures both against the imagehash library.

Reference:
- The hash, low frequencies of a discrete cosine transform against their median:
  [Zauner, 2010](https://www.phash.org/docs/pubs/thesis_zauner.pdf)
- The search: [Norouzi et al., 2012](https://arxiv.org/abs/1307.2982) (multi-index hashing)
"""

import io
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

SIDE = 20  # pixels of the tiny picture
FINGERPRINT_BYTES = SIDE * SIDE
FREQUENCIES = 8  # of the hash, per axis: 63 bits without the mean
MOST_BITS = 7  # that may differ: 98 % of the copies cropped by 5 %, measured on 4,995 photos
LEAST_CORRELATION = 0.92  # first pair of unlike photos among these 12 million: 0.88
LEAST_CONTRAST = 3.0  # grey levels; below it a picture has no features to compare
GRID = 16  # pixels to correlate, per axis
BAND_BITS = 16  # four bands: 7 wrong bits leave one with at most one wrong
CHUNK = 1 << 19  # candidates looked at in one go: bounds the memory
SLICE = 1 << 12  # photos hashed in one go, for the same reason

FLOOD = 100  # photos of one hash; more are not compared with each other
MANY = 5_000  # photos; comparing fewer takes no second and needs no progress bar

WHOLE = (0.0, 1.0)


def _windows():
    """Crops that a copy may be of: whole, and 5 and 10 percent off the middle, a side, a corner."""
    windows = [(WHOLE, WHOLE)]
    for share in (0.05, 0.1):
        low, high, middle = (share, 1.0), (0.0, 1 - share), (share / 2, 1 - share / 2)
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


def near_duplicate_groups(fingerprints: Sequence[bytes]) -> list[list[int]]:
    """Groups photos that are copies of each other, directly or by way of others.

    Pictures without contrast (a black frame, plain sky) are never near-duplicates: nothing in them
    could tell. 5,000 photos take a second, a million some minutes.

    Args:
        fingerprints: What `fingerprint` gave for each photo.

    Returns:
        Places in `fingerprints` of the members of each group of two or more, sorted.
    """
    parent = list(range(len(fingerprints)))

    def root(place):
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for one, other in near_duplicate_pairs(fingerprints):
        one, other = sorted((root(one), root(other)))
        parent[other] = one
    groups = {}
    for place in range(len(fingerprints)):
        groups.setdefault(root(place), []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicate_pairs(fingerprints: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yields places of two photos that are copies, some pairs more than once.

    Whether two photos are a pair depends on them alone, with one exception: of a hundred photos of
    one hash each is compared with the first only, or a flood of one picture would take for ever.
    """
    pictures = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, SIDE, SIDE)
    places = np.flatnonzero(_contrast(pictures) >= LEAST_CONTRAST)
    hashes = np.concatenate([_hashes(pictures[some], WINDOWS[0]) for some in _cut(places)])
    floods = _floods(fingerprints, places, hashes)
    for flood in floods:
        yield from _confirm(pictures, np.full(len(flood) - 1, flood[0]), flood[1:], WINDOWS[0])
    if floods:
        rest = ~np.isin(places, np.concatenate([flood[1:] for flood in floods]))
        places, hashes = places[rest], hashes[rest]
    table = _BandTable(hashes)
    total = len(WINDOWS) * len(places)
    with tqdm(
        total=total, desc="Comparing photos", unit=" crops", disable=len(places) < MANY
    ) as bar:
        for window in WINDOWS:
            for cropped in _cut(places):
                for query, found in table.search(_hashes(pictures[cropped], window)):
                    ones, others = cropped[query], places[found]
                    unlike = ones != others
                    yield from _confirm(pictures, ones[unlike], others[unlike], window)
                bar.update(len(cropped))


def _floods(fingerprints, places, hashes):
    """Returns the places of each hundred and more photos of one hash, in an order of their own."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    floods = []
    for value in np.flatnonzero(counts >= FLOOD):
        members = places[inverse == value].tolist()
        floods.append(np.array(sorted(members, key=lambda place: (fingerprints[place], place))))
    return floods


def _cut(items):
    """Cuts an array into parts small enough to be worked on as floating-point numbers."""
    return np.array_split(items, len(items) // SLICE + 1)


def _contrast(pictures):
    flat = pictures.reshape(-1, SIDE * SIDE)
    return np.concatenate([part.std(axis=1) for part in _cut(flat)])


def _hashes(pictures, window):
    """Returns a 63-bit number for each picture cropped to `window`."""
    rows, columns = (_cosines(*side) for side in window)
    waves = rows @ pictures.astype(np.float64) @ columns.T
    waves = waves.reshape(-1, FREQUENCIES**2)[:, 1:]  # without the mean: brightness tells nothing
    bits = waves > np.median(waves, axis=1, keepdims=True)
    packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)


def _cosines(low, high):
    """Integrals of cosines over each pixel's part of [low, high]: `(FREQUENCIES, SIDE)`."""
    edges = (np.clip(np.arange(SIDE + 1) / SIDE, low, high) - low) / (high - low)
    waves = [np.sin(np.pi * n * edges) / (np.pi * n) for n in range(1, FREQUENCIES)]
    return np.diff([edges, *waves])


def _means(low, high):
    """Shares of each pixel in GRID equal parts of [low, high]: `(GRID, SIDE)`."""
    parts = low + (high - low) * np.arange(GRID + 1) / GRID
    edges = np.arange(SIDE + 1) / SIDE
    return np.array([np.diff(np.clip(edges, *part)) for part in itertools.pairwise(parts)])


def _confirm(pictures, ones, others, window):
    """Yields the pairs whose pictures correlate once the first is cropped."""
    for start in range(0, len(ones), SLICE):
        some = slice(start, start + (SLICE))
        cropped = _normalised(pictures[ones[some]], window)
        whole = _normalised(pictures[others[some]], WINDOWS[0])
        alike = (cropped * whole).sum(axis=1) >= LEAST_CORRELATION
        yield from zip(ones[some][alike].tolist(), others[some][alike].tolist(), strict=True)


def _normalised(pictures, window):
    rows, columns = (_means(*side) for side in window)
    grids = (rows @ pictures.astype(np.float64) @ columns.T).reshape(-1, GRID**2)
    grids -= grids.mean(axis=1, keepdims=True)
    return grids / np.maximum(np.linalg.norm(grids, axis=1, keepdims=True), 1e-12)


class _BandTable:
    """Finds all hashes within MOST_BITS of another: one of four bands has one wrong bit at most."""

    def __init__(self, hashes):
        self._hashes = hashes
        self._bands = []
        for shift in range(0, 64, BAND_BITS):
            keys = _band(hashes, shift)
            order = np.argsort(keys, kind="stable").astype(np.int32)
            sizes = np.bincount(keys, minlength=1 << BAND_BITS).astype(np.int32)
            self._bands.append((shift, order, np.cumsum(sizes) - sizes, sizes))

    def search(self, queries):
        """Yields (places in `queries`, places in the table) of hashes that are near."""
        flips = [0, *(1 << bit for bit in range(BAND_BITS))]
        for shift, order, starts, sizes in self._bands:
            keys = _band(queries, shift)
            for flip in flips:
                flipped = keys ^ np.uint16(flip)
                counts = sizes[flipped]
                hits = np.flatnonzero(counts)
                for some in _slices(counts[hits]):
                    query = hits[some]
                    found = order[_ranges(starts[flipped[query]], counts[query])]
                    query = np.repeat(query, counts[query])
                    wrong = queries[query] ^ self._hashes[found]
                    near = np.flatnonzero(np.bitwise_count(wrong) <= MOST_BITS)
                    near = near[~_is_found(wrong[near], shift)]
                    yield query[near], found[near]


def _band(hashes, shift):
    return (hashes >> np.uint64(shift)).astype(np.uint16)


def _is_found(wrong, shift):
    """Whether a band before that at `shift` has found the pair already."""
    found = np.zeros(len(wrong), bool)
    for earlier in range(0, shift, BAND_BITS):
        found |= np.bitwise_count(_band(wrong, earlier)) <= 1
    return found


def _ranges(starts, counts):
    """Concatenates range(start, start + count)."""
    skips = np.repeat(starts - np.cumsum(counts) + counts, counts)
    return skips + np.arange(len(skips))


def _slices(counts):
    """Yields slices of `counts` whose sums stay near CHUNK."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK, side="right")))
        yield slice(start, stop)
        start = stop
