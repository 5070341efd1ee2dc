"""How many near-duplicates are found, how many other pairs are reported, and how long it takes.

    python benchmarks/duplicates.py [--photos DIR]

Each sampled photo is changed in several ways; found means that the changed photo is reported as a
near-duplicate of its original. Groups are then counted among all photos of the folder; whether
these are copies has to be judged by eye: `--groups` names them. With `pip install imagehash` the
same is done with its 64-bit phash, at two thresholds.
"""

import argparse
import io
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from show import print_context

from tfrecords.demo.photos import write_photos
from tfrecords.images.convert import PhotoError, prepare_photo
from tfrecords.images.fingerprints import fingerprint
from tfrecords.images.near_duplicates import find_near_duplicates

SHORT_SIDE = 256
THRESHOLDS = (6, 10)  # bits of 64


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder; default: the demo's photos")
    parser.add_argument("--sample", type=int, default=300, help="photos to change")
    parser.add_argument("--groups", action="store_true", help="name the copies that are found")
    args = parser.parse_args()
    print_context()
    with tempfile.TemporaryDirectory() as name:
        if args.photos is None:
            write_photos(Path(name))
        measure(args.photos or Path(name), args)


def measure(folder, args):
    originals = dict(read_photos(folder))
    step = max(1, len(originals) // args.sample)
    sample = dict(itertools.islice(originals.items(), 0, None, step))
    methods = {"this project": matches_ours}
    try:
        from imagehash import phash
    except ImportError:
        print("(imagehash is not installed: pip install imagehash)")
    else:
        for bits in THRESHOLDS:
            methods[f"phash, {bits} bits"] = matches_phash(phash, bits)
    print(
        f"{len(sample)} photos, near-duplicates found:\n{'':26}"
        + "".join(f"{m:>16}" for m in methods)
    )
    for change, make in changes().items():
        pairs = [(jpeg, prepare_photo(make(image(jpeg)), SHORT_SIDE)) for jpeg in sample.values()]
        found = [np.mean([matches(*pair) for pair in pairs]) for matches in methods.values()]
        print(f"{change:26}" + "".join(f"{fraction:16.1%}" for fraction in found), flush=True)
    count_groups(originals, args.groups)


def count_groups(originals, name_them):
    names = list(originals)
    started = time.perf_counter()
    fingerprints = [fingerprint(jpeg) for jpeg in originals.values()]
    middle = time.perf_counter()
    groups = find_near_duplicates(fingerprints).groups
    seconds = time.perf_counter() - middle
    copies = sum(map(len, groups))
    print(f"{len(names):,} photos: {copies} copies in {len(groups)} groups in {seconds:.1f} s;")
    print(f"a fingerprint takes {1000 * (middle - started) / len(names):.2f} ms")
    for group in groups if name_them else ():
        print("  " + "  ".join(str(names[place]) for place in group))


def matches_ours(original, copy):
    return bool(find_near_duplicates([fingerprint(original), fingerprint(copy)]).groups)


def matches_phash(phash, bits):
    return lambda original, copy: phash(image(original)) - phash(image(copy)) <= bits


def changes():
    """Returns name -> function from a picture to the bytes of the changed one."""
    return {
        "quality 30": lambda photo: encode(photo, 30),
        "half the size": lambda photo: encode(scale(photo, 0.5)),
        "3/4 of the size": lambda photo: encode(scale(photo, 0.75)),
        "brightness + 10 %": lambda photo: encode(ImageEnhance.Brightness(photo).enhance(1.1)),
        "2 % cropped all around": lambda photo: encode(crop(photo, 0.02, 0.02, 0.02, 0.02)),
        "5 % cropped on the left": lambda photo: encode(crop(photo, left=0.05)),
        "5 % cropped at the bottom": lambda photo: encode(crop(photo, bottom=0.05)),
        "5 % cropped at a corner": lambda photo: encode(crop(photo, top=0.05, right=0.05)),
        "5 % corner, halved, q 50": lambda photo: encode(scale(crop(photo, 0.05, 0.05), 0.5), 50),
        "10 % cropped on the left": lambda photo: encode(crop(photo, left=0.1)),
        "10 % cropped at a corner": lambda photo: encode(crop(photo, left=0.1, bottom=0.1)),
    }


def read_photos(folder):
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            yield path.relative_to(folder), prepare_photo(path.read_bytes(), SHORT_SIDE)
        except PhotoError:
            continue  # a text or a broken file: no photo to compare


def image(jpeg):
    return Image.open(io.BytesIO(jpeg))


def encode(photo, quality=90):
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=quality)
    return out.getvalue()


def scale(photo, factor):
    return photo.resize([round(side * factor) for side in photo.size], Image.Resampling.LANCZOS)


def crop(photo, left=0.0, top=0.0, right=0.0, bottom=0.0):
    width, height = photo.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return photo.crop(tuple(map(round, box)))


if __name__ == "__main__":
    main()
