"""Mutated files of every format through a decoder: python tests/helpers/fuzz.py build|export COUNT.

Runs in a process of its own, since a decoder written in C may end it. Prints how many files ended
in a photo, the longest time for one in seconds, and the peak of memory in MB beyond the start.
"""

import resource
import sys
import time
import warnings
from collections import Counter

import numpy as np
from photo_files import DISPLAY_P3, encode, exif_segment, insert, picture, xmp_segment

BATCH = 20


def seeds():
    """A whole file of each format and of its variants."""
    photo, frames = picture(72, 56), [picture(72, 56, seed) for seed in (1, 2)]
    alpha = photo.convert("RGBA")
    alpha.putalpha(picture(72, 56, seed=3).convert("L"))
    animated = {"save_all": True, "append_images": frames}
    return [
        encode(photo),
        encode(photo, progressive=True, icc_profile=DISPLAY_P3),
        encode(photo.convert("CMYK")),
        encode(photo.convert("L")),
        insert(encode(photo), exif_segment(6) + xmp_segment(3)),
        encode(photo, "MPO", **animated),
        encode(photo, "PNG", icc_profile=DISPLAY_P3),
        encode(alpha, "PNG"),
        encode(photo.quantize(30), "PNG", transparency=3),
        encode(photo.convert("I;16"), "PNG"),
        encode(photo, "PNG", **animated),
        encode(photo, "WEBP"),
        encode(alpha, "WEBP", lossless=True),
        encode(photo, "WEBP", **animated),
        encode(photo, "AVIF", speed=10),
        encode(photo, "AVIF", speed=10, **animated),
        encode(photo.quantize(30), "GIF", transparency=3),
        encode(photo, "GIF", **animated),
        encode(photo, "TIFF"),
        encode(photo, "TIFF", compression="tiff_lzw"),
        encode(photo, "TIFF", compression="jpeg"),
        encode(photo.convert("F"), "TIFF"),
        encode(photo, "BMP"),
        encode(photo.quantize(30), "BMP"),
        encode(alpha, "BMP"),
        encode(photo, "JPEG2000"),
        encode(photo, "PPM"),
    ]


def mutated(files, number):
    """File `number`: bytes changed, a piece cut out, doubled or put elsewhere, the end cut off."""
    random = np.random.default_rng(number)
    data = bytearray(files[number % len(files)])
    for _ in range(random.integers(1, 4)):
        start = int(len(data) * random.random() ** 2)  # headers are near the start
        length = int(random.integers(1, 40))
        piece = data[start : start + length]
        change = random.integers(6)
        if change == 0:
            del data[start : start + length]
        elif change == 1:
            data[start:start] = piece
        elif change == 2:
            data[start : start + 4] = random.choice([0, 0xFF, 0x7F], 4).astype(np.uint8).tobytes()
        elif change == 3:
            del data[max(start, 30) :]
        else:
            for place in range(start, min(start + int(random.integers(1, 5)), len(data))):
                data[place] = random.integers(256)
    return bytes(data)


def build_decoder():
    from tfrecords.images.decode import PhotoError, decode_photo

    outcomes = Counter()

    def decode(batch):
        for data in batch:
            try:
                photo = decode_photo(data, 64)
                assert photo.mode == "RGB"
                outcomes["photo"] += 1
            except PhotoError as error:
                outcomes[error.reason] += 1

    return decode, outcomes


def export_decoder():
    import tensorflow as tf

    from glr_keras.decoding.decoder import view_decoder

    graph = view_decoder(32, 64, "whole")
    outcomes = Counter()

    def decode(batch):
        views, places = graph(tf.constant(batch, tf.string))
        assert views.shape[1:] == (32, 32, 3)
        assert set(places.numpy()) <= set(range(len(batch)))
        outcomes["photo"] += len(places)
        outcomes["refused"] += len(batch) - len(places)

    decode([encode(picture())])  # traces
    return decode, outcomes


def main(kind, count):
    warnings.simplefilter("ignore")
    decode, outcomes = {"build": build_decoder, "export": export_decoder}[kind]()
    files = seeds()
    longest, before = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 1 if kind == "build" else BATCH
    for start in range(0, count, size):
        started = time.perf_counter()
        decode([mutated(files, number) for number in range(start, start + size)])
        longest = max(longest, time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(dict(outcomes), file=sys.stderr)
    print(outcomes.total(), outcomes["photo"], f"{longest:.2f}", peak // 1024)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
