"""How long an index as large as Google Landmarks v2 takes: python benchmarks/index.py

Writes a train.csv (id,url,landmark_id) of 4.1 million rows and 203,094 landmarks, and reads it,
chooses and splits, each case in a fresh process. Prints seconds and peak memory, and exits with 1
if a case takes over 60 s or 2 GB.
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS, LANDMARKS = 4_132_914, 203_094  # of Google Landmarks v2.1
MOST_SECONDS, MOST_BYTES = 60, 2e9
CASES = {  # name -> with_urls, what choose_landmarks is told
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
        help="CSV landmark_id,photos to draw the long tail from (default: Zipf's law, the landmark "
        "of rank r having 1/r of the first one's photos: a guess, with a longer tail than v2's)",
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # what the processes run
    args = parser.parse_args()
    if args.measure:
        path, case = args.measure
        print(json.dumps(measure(Path(path), *CASES[case])))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.csv")
        sizes = scale(read_counts(args.counts), args.rows, args.landmarks)
        write_index(path, sizes)
        print(
            f"{sum(sizes):,} rows, {len(sizes):,} landmarks of {max(sizes):,} to {min(sizes)} "
            f"photos, {path.stat().st_size / 1e6:.0f} MB"
        )
        sys.exit(report(path))


def read_counts(path):
    if path is None:
        return [1 / rank for rank in range(1, LANDMARKS + 1)]
    with open(path, newline="") as file:
        return sorted((int(row["photos"]) for row in csv.DictReader(file)), reverse=True)


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
    print(f"{'':28}{'read':>7}{'choose':>8}{'split':>7}{'total':>7}  {'rows/s':>9}{'memory':>9}")
    failed = 0
    for case in CASES:
        command = [sys.executable, __file__, "--measure", str(path), case]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        seconds, peak = result["seconds"], result["bytes"]
        total = sum(seconds)
        parts = "".join(f"{part:{width}.1f}" for part, width in zip(seconds, (7, 8, 7), strict=True))
        speed = f"{result['rows'] / total:,.0f}"
        print(f"{case:28}{parts}{total:7.1f}  {speed:>9}{peak / 1e9:6.2f} GB", flush=True)
        failed |= total > MOST_SECONDS or peak > MOST_BYTES
    print("Over the limit." if failed else f"All within {MOST_SECONDS} s and {MOST_BYTES:.0e} bytes.")
    return int(failed)


def measure(path, with_urls, choice):
    """Returns seconds of reading, choosing and splitting, peak memory and rows."""
    from tfrecords.choice import choose_landmarks
    from tfrecords.csv_index import read_index
    from tfrecords.splits import split_photos

    times = [time.perf_counter()]
    index = read_index(path, with_urls)
    times.append(time.perf_counter())
    chosen = choose_landmarks(index.photos, **choice)
    times.append(time.perf_counter())
    splits = split_photos(chosen.photos, seed=0)
    times.append(time.perf_counter())
    assert sum(map(len, splits.values())) == len(chosen.photos)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return {
        "seconds": [end - start for start, end in zip(times[:-1], times[1:], strict=True)],
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "rows": len(index.photos),
    }


if __name__ == "__main__":
    main()
