"""How near feature extraction comes to the bare forward pass: python benchmarks/extraction.py

Both are measured in one process on the same photos, batch size and precision, turn by turn, so that
a noisy machine disturbs both alike. Prints photos/s of each and their ratio.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from glr_keras.config import FitConfig
from tfrecords.console import start_tensorflow


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--photos-per-landmark", type=int, default=13, help="of 10 demo landmarks")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args)


def measure(folder, args):
    import numpy as np

    from glr_keras.backbones import build_backbone, choose_precision
    from glr_keras.data import open_records
    from glr_keras.features import EXTRACT_BATCH, feature_views
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo import write_photos

    write_photos(folder / "photos", photos_per_landmark=args.photos_per_landmark)
    build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    records = open_records(folder / "data")
    config = FitConfig(backbone=args.backbone, weights="random", views=1)
    backbone = build_backbone(config)
    photos = np.random.default_rng(0).uniform(0, 255, (EXTRACT_BATCH, 224, 224, 3)).astype("f4")
    backbone.predict_on_batch(photos)  # traces, and fills the caches
    num_photos = records.num_photos("train")
    batches = -(-num_photos // EXTRACT_BATCH)
    ratios = []
    for turn in range(args.rounds):
        started = time.perf_counter()
        for _ in range(batches):
            backbone.predict_on_batch(photos)
        bare = batches * EXTRACT_BATCH / (time.perf_counter() - started)
        started = time.perf_counter()
        feature_views(records, "train", backbone, "none", replace(config, seed=turn))
        extraction = num_photos / (time.perf_counter() - started)
        ratios.append(extraction / bare)
        print(f"round {turn + 1}: bare forward {bare:.2f} photos/s, extraction {extraction:.2f}")
    precision = choose_precision("auto")
    print(
        f"{args.backbone}, 224 pixels, batch {EXTRACT_BATCH}, {precision}: "
        f"extraction reaches {np.median(ratios):.2f} of the bare forward pass "
        f"(median of {args.rounds}; {min(ratios):.2f} to {max(ratios):.2f})."
    )


if __name__ == "__main__":
    main()
