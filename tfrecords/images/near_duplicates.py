"""Finds copies of one photo: re-encoded, resized, lightly cropped. No TensorFlow here.

A fingerprint is a tiny grey picture. Two photos are copies where the perceptual hash of one equals,
but for a few bits, that of a crop of the other, and the tiny pictures, so aligned, correlate.
`benchmarks/duplicates.py` measures both against the imagehash library.
"""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from tfrecords.common.parallel import map_on_threads
from tfrecords.images.fingerprints import (
    CORRELATED_PAIRS,
    SIDE,
    WINDOWS,
    are_copies,
    batches,
    contrasts,
    perceptual_hashes,
)
from tfrecords.images.hash_index import HashIndex

MIN_CONTRAST = 3.0  # grey levels; below it a picture has no features to compare
BUCKET_PHOTOS = 100  # with one hash; so many are compared with one of them only
MIN_BAR_PHOTOS = 5_000  # comparing fewer takes no second and needs no progress bar


@dataclass(frozen=True)
class Copies:
    """Which photos are copies; they are named by their places in the list that was searched.

    Attributes:
        groups: Photos that are copies, directly or by way of others: two or more each, sorted.
        conflicting: Photos that are direct copies of one with another label.
    """

    groups: list[list[int]]
    conflicting: set[int]


def find_near_duplicates(
    fingerprints: Sequence[bytes],
    labels: Sequence[int] | None = None,
    threads: int | None = None,
) -> Copies:
    """Groups photos that are copies of each other, directly or by way of others.

    Whether two photos are copies depends on them alone, with one exception: of a hundred photos of
    one hash or more, each is compared with one of them only, since all pairs of a camera that takes
    the same picture every minute would take for ever. Pictures without contrast (a black frame,
    plain sky) are never copies: nothing in them could be compared.

    Args:
        fingerprints: What `fingerprint` gave for each photo.
        labels: Int for each photo; None for one and the same.
        threads: Int, how many work at once; None for one per core.
    """
    pictures = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, SIDE, SIDE)
    clusters = _Clusters(np.asarray([0] * len(pictures) if labels is None else labels, np.int64))
    places = np.flatnonzero(contrasts(pictures) >= MIN_CONTRAST)
    hashes = np.concatenate(
        [perceptual_hashes(pictures[some], WINDOWS[0]) for some in batches(places)]
    )
    left = _join_buckets(pictures, places, hashes, clusters)
    places, hashes = places[left], hashes[left]
    index = HashIndex(hashes)

    def compare(job):
        window, cropped = job
        for query, found in index.close_pairs(perceptual_hashes(pictures[cropped], window)):
            _join_copies(pictures, cropped[query], places[found], window, clusters)
        return len(cropped)

    jobs = itertools.product(WINDOWS, batches(places))
    total = len(WINDOWS) * len(places)
    hide = len(places) < MIN_BAR_PHOTOS
    with tqdm(total=total, desc="Comparing photos", unit=" crops", disable=hide) as bar:
        for count in map_on_threads(compare, jobs, 1 if hide else threads):
            bar.update(count)
    return clusters.result()


class _Clusters:
    """Connected components of the pairs found so far; threads add to them in any order.

    All that is asked of it at the end is the same for every order: the components, and who is in a
    pair of two labels. So a pair that could change neither is skipped.
    """

    def __init__(self, labels):
        self._labels = labels
        self._components = np.arange(len(labels), dtype=np.int32)
        self._members = {}  # component -> places, where there are two or more
        self._conflicting = np.zeros(len(labels), bool)
        self._lock = threading.Lock()

    def are_open(self, ones, others):
        """Returns bool array `(pairs,)`: which pairs could change anything."""
        joined = self._components[ones] == self._components[others]
        agree = self._labels[ones] == self._labels[others]
        return ~(joined & (agree | (self._conflicting[ones] & self._conflicting[others])))

    def join(self, ones, others):
        """Adds pairs of copies, int arrays `(pairs,)`."""
        differ = self._labels[ones] != self._labels[others]
        with self._lock:
            self._conflicting[ones[differ]] = self._conflicting[others[differ]] = True
            for one, other in zip(ones.tolist(), others.tolist(), strict=True):
                self._merge(int(self._components[one]), int(self._components[other]))

    def join_all(self, places):
        """Adds photos, int array `(photos,)`, each of which is a copy of every other."""
        self.join(np.repeat(places[:1], len(places) - 1), places[1:])
        if np.ptp(self._labels[places]):
            self._conflicting[places] = True

    def _merge(self, one, other):
        if one == other:
            return
        more, fewer = (self._members.pop(name, [name]) for name in (one, other))
        if len(more) < len(fewer):
            one, more, fewer = other, fewer, more
        self._components[fewer] = one
        self._members[one] = more + fewer

    def result(self):
        groups = sorted(sorted(members) for members in self._members.values())
        return Copies(groups, set(np.flatnonzero(self._conflicting).tolist()))


def _join_buckets(pictures, places, hashes, clusters):
    """Joins photos of one hash where there are many; returns which `places` are left to compare.

    The first photo of a bucket represents all that correlate with it.
    """
    left = np.ones(len(places), bool)
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    for value in np.flatnonzero(counts >= BUCKET_PHOTOS):
        # In an order of their own, so that it does not matter in which the photos are given.
        members = np.flatnonzero(inverse == value).tolist()
        bucket = np.array(sorted(members, key=lambda i: (pictures[places[i]].tobytes(), i)))
        while len(bucket) >= BUCKET_PHOTOS:
            firsts = np.repeat(places[bucket[:1]], len(bucket) - 1)
            copies = are_copies(pictures, firsts, places[bucket[1:]], WINDOWS[0])
            clusters.join_all(places[bucket[np.append(True, copies)]])
            left[bucket[1:][copies]] = False
            bucket = bucket[1:][~copies]
    return left


def _join_copies(pictures, ones, others, window, clusters):
    """Joins the pairs that are copies once the first is cropped to `window`."""
    different = ones != others
    ones, others = ones[different], others[different]
    while len(ones):
        still_open = clusters.are_open(ones, others)
        ones, others = ones[still_open], others[still_open]
        some, rest = slice(CORRELATED_PAIRS), slice(CORRELATED_PAIRS, None)
        copies = are_copies(pictures, ones[some], others[some], window)
        clusters.join(ones[some][copies], others[some][copies])
        ones, others = ones[rest], others[rest]
