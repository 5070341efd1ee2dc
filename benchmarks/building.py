"""How close a build comes to bare decoding and encoding: python benchmarks/building.py

The bare loop decodes, resizes and encodes every photo on as many cores, in processes and in
threads; the build also compares, splits, checks and writes. Then the memory of two builds, of which
one has ten times the photos. All is measured in one run, on photos made for it or on a folder.
"""

import argparse
import io
import multiprocessing
import statistics
import tempfile
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from measuring import peak_bytes, run_quietly, timed
from PIL import Image
from show import print_context

from tfrecords.common.parallel import available_cores
from tfrecords.images.convert import JPEG_QUALITY

SHORT_SIDE = 256  # pixels, the build's default
LANDMARKS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="one sub-folder per landmark, for the speed")
    parser.add_argument("--count", type=int, default=20_000, help="photos to make")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 600), help="their pixels")
    parser.add_argument("--rounds", type=int, default=3, help="of the speed")
    parser.add_argument(
        "--memory-count", type=int, default=5000, help="photos of the smaller build"
    )
    args = parser.parse_args()
    print_context()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.photos is None:
            make_photos(folder / "speed", args.count, tuple(args.size))
        measure_speed(args.photos or folder / "speed", folder, args.rounds)
        if args.memory_count:
            measure_memory(folder, args.memory_count)


def measure_speed(photos, folder, rounds):
    """Measures bare loops and builds alternately: the machine's speed changes meanwhile."""
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    ratios = []
    for number in range(rounds):
        rates = {"processes": bare_rate(multiprocessing.Pool, paths)}
        if number == 0:
            rates["threads"] = bare_rate(ThreadPool, paths)
        seconds, _ = run_build(photos, folder / f"speed-out{number}")
        build = len(paths) / seconds
        ratios.append(build / max(rates.values()))
        bare = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        print(
            f"round {number + 1}, photos/s: bare loop in {available_cores()} {bare}; "
            f"whole command {build:.0f}; ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"{len(paths):,} photos: median ratio {statistics.median(ratios):.2f}", flush=True)


def bare_rate(make_pool, paths):
    def loop():
        with make_pool(available_cores()) as workers:
            for _ in workers.imap_unordered(decode_and_encode, paths, chunksize=16):
                pass

    return len(paths) / timed(loop)


def decode_and_encode(path):
    photo = Image.open(path)
    photo.draft("RGB", (2 * SHORT_SIDE, 2 * SHORT_SIDE))
    photo.load()
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    scale = min(1, SHORT_SIDE / min(photo.size))
    size = [round(side * scale) for side in photo.size]
    photo = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    photo.save(io.BytesIO(), "JPEG", quality=JPEG_QUALITY)


def measure_memory(folder, count):
    for photos in (count, 10 * count):
        make_photos(folder / str(photos), photos, (256, 192))
        _, usage = run_build(folder / str(photos), folder / f"out{photos}")
        peak = peak_bytes(usage) / 1e6
        print(f"{photos:,} photos: the build's largest process took {peak:.0f} MB", flush=True)


def make_photos(folder, count, size):
    """Makes photos that are not near-duplicates of each other, with fine details."""
    for number in range(LANDMARKS):
        (folder / str(number)).mkdir(parents=True)
    jobs = (
        (folder / str(number % LANDMARKS) / f"{number}.jpg", number, size)
        for number in range(count)
    )
    with multiprocessing.Pool() as pool:
        for _ in pool.imap_unordered(make_photo, jobs, chunksize=16):
            pass


def make_photo(job):
    path, number, size = job
    random = np.random.default_rng(number)
    photo = Image.new("RGB", size)
    for cells, weight in ((8, 1), (32, 0.3), (128, 0.15)):
        grain = random.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(grain).resize(size, Image.Resampling.BILINEAR)
        photo = Image.blend(photo, layer, weight)
    photo.save(path, quality=92)


def run_build(photos, out):
    return run_quietly("-m", "tfrecords.build", "--photos", photos, "--out", out)


if __name__ == "__main__":
    main()
