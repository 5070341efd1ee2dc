"""How close feature extraction comes to the bare forward pass: python benchmarks/extraction.py

Both are measured in one process on the same photos, batch size and precision, alternately, so that
other load on the machine disturbs both alike. The bare pass runs the backbone on one batch in
memory again and again; extraction also reads, decodes, augments and writes.
"""

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

from measuring import compare_with_bare, random_photos
from settings import base_config, build_demo
from show import print_context, show

from tfrecords.common.console import start_tensorflow

PHOTOS_PER_LANDMARK = {"vgg16": 5, "mobilenet_v2": 70}  # of 10 demo landmarks; 70 % are extracted
VIEWS = 3  # of each, as a run of 3 epochs has


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=list(PHOTOS_PER_LANDMARK))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    rows = []
    for backbone in args.backbones:
        with tempfile.TemporaryDirectory() as folder:
            ratio = measure(Path(folder), backbone, args.rounds)
        rows.append((f"{backbone}, 224 pixels", ratio))
    title = "Feature extraction against the bare forward pass"
    show("extraction", title, "ratio of photos per second, median", rows, goal=0.9)


def measure(folder, backbone_name, rounds):
    from glr_keras.data.records import open_records
    from glr_keras.features.extraction import feature_views
    from glr_keras.features.view_files import BLOCK
    from glr_keras.models.backbones import build_backbone
    from glr_keras.models.precision import choose_precision

    records = open_records(build_demo(folder, PHOTOS_PER_LANDMARK[backbone_name]))
    config = base_config(backbone=backbone_name, weights="random", views=VIEWS)
    config = choose_precision(config, folder / "data" / "features")
    backbone = build_backbone(config)
    num_photos = records.num_photos("train")
    sizes = [min(BLOCK, num_photos - start) for start in range(0, num_photos, BLOCK)] * VIEWS
    photos, seeds = random_photos(BLOCK, 224, 224, 3), itertools.count()

    def bare():
        for size in sizes:
            backbone.predict_on_batch(photos[:size])

    def extract():
        seeded = replace(config, seed=next(seeds))  # nothing of it is stored yet
        feature_views(records, backbone, "none", seeded, ["train"])

    model = f"{backbone_name}, {config.precision}"
    return compare_with_bare("extraction", model, bare, extract, sum(sizes), rounds)


if __name__ == "__main__":
    main()
