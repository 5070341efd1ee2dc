"""How much faster an epoch is on stored features than live: python benchmarks/epochs.py

Steps of both are timed alternately in one process, with the same head, batch size and VGG16 at 224
pixels: the ratio of two steps is that of two epochs. The live step decodes and augments photos and
runs the frozen VGG16 in front of the head, as `--live` does.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from settings import base_config
from show import print_context, show

from tfrecords.common.console import start_tensorflow

HEADS = {
    "dropout head, 4096-4096": {"head": "dropout", "head_units": (4096, 4096)},
    "ABN, 512 channels, 512 units": {"head": "abn", "head_units": (512,)},
}
STORED_STEPS = 12


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live-steps", type=int, default=2, help="of each round")
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args)
    title = "An epoch on stored features against a live one, VGG16"
    show("epochs", title, "times as fast, median", rows, goal=10)


def measure(folder, args):
    from dataclasses import replace

    from glr_keras.data.records import open_records
    from glr_keras.features.extraction import feature_views
    from glr_keras.models.backbones import build_backbone
    from glr_keras.models.heads import build_head
    from glr_keras.models.objective import compile_model
    from glr_keras.models.precision import choose_precision
    from glr_keras.models.recognizer import Recognizer
    from glr_keras.training.batches import LivePhotos, StoredFeatures
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo.photos import write_photos

    write_photos(folder / "photos", photos_per_landmark=14)
    build(BuildOptions(photos=folder / "photos", out=folder / "data"))
    records = open_records(folder / "data")
    base = base_config(weights="random", views=1, epochs=10_000)
    base = choose_precision(base, folder / "data" / "features")
    backbone = build_backbone(base)
    views = feature_views(records, backbone, "none", base, ["train"])
    rows = []
    for name, settings in HEADS.items():
        config = replace(base, **settings)
        head = build_head(config, len(records.landmarks), views["train"].shape)
        recognizer = Recognizer(backbone, head, records.landmarks, config.framing)
        recognizer.build(backbone.input_shape)
        case = (head.branches, len(records.landmarks), config)
        stored = StoredFeatures(views, *case)
        live = LivePhotos(records, *case)
        fits = {
            "stored": (head, stored, STORED_STEPS),
            "live": (recognizer, live, args.live_steps),
        }
        for model, _, _ in fits.values():
            compile_model(model, config, steps_per_epoch=4)
        seconds = {kind: [] for kind in fits}
        for turn in range(args.rounds + 1):
            for kind, (model, source, steps) in fits.items():
                timed = time_step(model, source, steps if turn else 1)
                if turn:  # the first traces
                    seconds[kind].append(timed)
        ratios = [a / b for a, b in zip(seconds["live"], seconds["stored"], strict=True)]
        shown = {kind: statistics.median(times) for kind, times in seconds.items()}
        print(
            f"{name}: stored {shown['stored']:.3f} s a step of {config.batch_size}, live "
            f"{shown['live']:.2f} s; ratio {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f})",
            flush=True,
        )
        rows.append((name, statistics.median(ratios)))
    return rows


def time_step(model, source, steps):
    """Returns seconds of a step, once the first batch is there."""
    batches = iter(source.train_batches(0))
    next(batches)  # starts the threads that prepare batches
    started = time.perf_counter()
    for _ in range(steps):
        inputs, labels = next(batches)
        model.train_on_batch(inputs, labels)
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    main()
