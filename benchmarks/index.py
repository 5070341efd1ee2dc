"""How long an index as large as Google Landmarks v2 takes: python benchmarks/index.py

Writes a train.csv (id,url,landmark_id) of 4.1 million rows and 203,094 landmarks, and reads it,
chooses and splits, each case in a fresh process. Prints seconds of each step, processor seconds and
peak memory. Exits with 1 if a case takes over 60 s or 2 GB.
"""

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from measuring import peak_bytes, result_of
from show import print_context

ROWS, LANDMARKS = 4_132_914, 203_094  # of Google Landmarks v2.1
MAX_SECONDS, MAX_BYTES = 60, 2e9
CASES = {  # name -> with_urls, arguments of choose_landmarks
    "ids, all landmarks": (False, {}),
    "ids, --skip-top 3 --top 27": (False, {"skip_top": 3, "top": 27}),
    "URLs, all landmarks": (True, {}),
    "URLs, --skip-top 3 --top 27": (True, {"skip_top": 3, "top": 27}),
    "URLs, --max-photos 100": (True, {"max_photos": 100}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--landmarks", type=int, default=LANDMARKS)
    parser.add_argument(
        "--counts",
        type=Path,
        help="CSV landmark_id,photos to scale up (default: a power law, a guess: the landmark of "
        "rank r has 1/r of the photos of the first)",
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # what the processes run
    args = parser.parse_args()
    if args.measure:
        path, case = args.measure
        print(json.dumps(measure(Path(path), *CASES[case])))
        return
    print_context()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.csv")
        shape = read_counts(args.counts) if args.counts else power_law(args.landmarks)
        sizes = scale(shape, args.rows, args.landmarks)
        write_index(path, sizes)
        print(
            f"{sum(sizes):,} rows, {len(sizes):,} landmarks of {max(sizes):,} to {min(sizes)} "
            f"photos, {path.stat().st_size / 1e6:.0f} MB"
        )
        sys.exit(report(path))


def read_counts(path):
    with open(path, newline="") as file:
        return sorted((int(row["photos"]) for row in csv.DictReader(file)), reverse=True)


def power_law(landmarks):
    return [1 / rank for rank in range(1, landmarks + 1)]


def scale(counts, rows, landmarks):
    """Stretches a long tail to so many landmarks and rows; every landmark has a photo."""
    shape = [counts[i * len(counts) // landmarks] for i in range(landmarks)]
    low, high = 0.0, rows / min(shape)
    for _ in range(60):  # bisection: the factor at which rounding gives that many rows
        factor = (low + high) / 2
        if sum(max(1, round(factor * count)) for count in shape) > rows:
            high = factor
        else:
            low = factor
    sizes = [max(1, round(low * count)) for count in shape]
    sizes[0] += rows - sum(sizes)
    return sizes


def write_index(path, sizes):
    """Rows in random order, with ids and URLs of the usual length, as in the real file."""
    rng = random.Random(0)
    labels = [landmark for landmark, size in enumerate(sizes) for _ in range(size)]
    rng.shuffle(labels)
    with open(path, "w") as file:
        file.write("id,url,landmark_id\n")
        for label in labels:
            bits = rng.getrandbits(64)
            name = "Church_of_the_Assumption_in_winter_"[: bits % 36]
            file.write(
                f"{bits:016x},https://upload.wikimedia.org/wikipedia/commons/{bits % 16:x}/"
                f"{bits % 256:02x}/{name}{bits >> 24:010x}_view_of_it.jpg,{label}\n"
            )


def report(path):
    """Prints a row per case; returns 1 if one is over the limits."""
    head = ("read", "choose", "split", "seconds", "of processor", "rows/s", "memory")
    print(f"{'':28}" + "".join(f"{name:>{len(name) + 3}}" for name in head))
    failed = 0
    for case in CASES:
        result = result_of(__file__, "--measure", path, case)
        seconds = sum(result["steps"])
        cells = [f"{one:.1f}" for one in (*result["steps"], seconds, result["processor"])]
        cells += [f"{result['rows'] / seconds:,.0f}", f"{result['bytes'] / 1e9:.2f} GB"]
        row = zip(cells, head, strict=True)
        print(f"{case:28}" + "".join(f"{cell:>{len(name) + 3}}" for cell, name in row), flush=True)
        failed |= seconds > MAX_SECONDS or result["bytes"] > MAX_BYTES
    limits = f"{MAX_SECONDS} s and {MAX_BYTES / 1e9:.0f} GB"
    print(f"Over the limit of {limits}." if failed else f"All within {limits}.")
    return int(failed)


def measure(path, with_urls, choice):
    """Returns seconds of reading, choosing and splitting, and what they needed."""
    from tfrecords.sources.challenge_csv import read_index
    from tfrecords.sources.selection import choose_landmarks
    from tfrecords.splitting.stratified import split_photos

    times = [time.perf_counter()]
    index = read_index(path, with_urls)
    times.append(time.perf_counter())
    chosen = choose_landmarks(index.photos, **choice)
    times.append(time.perf_counter())
    splits = split_photos(chosen.photos, seed=0)
    times.append(time.perf_counter())
    if sum(map(len, splits.values())) != len(chosen.photos):
        raise RuntimeError("The splits don't hold each chosen photo once.")
    return {
        "steps": [end - start for start, end in pairwise(times)],
        "processor": time.process_time(),
        "bytes": peak_bytes(),
        "rows": len(index.photos),
    }


if __name__ == "__main__":
    main()
