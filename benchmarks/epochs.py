"""How much faster an epoch is on stored features than live: python benchmarks/epochs.py

Steps of both are timed alternately in one process, with the same head, batch size and VGG16 at 224
pixels: the ratio of two steps is that of two epochs. The live step decodes and augments photos and
runs the frozen VGG16 in front of the head, as `--live` does. With `--branch-layer block4_pool`, an
ABN stands there and learns together with what of VGG16 is behind it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from settings import base_config, build_demo
from show import print_context, show

from tfrecords.common.console import start_tensorflow

HEADS = {
    "dropout head, 4096-4096": {"head": "dropout", "head_units": (4096, 4096)},
    "ABN, 512 channels, 512 units": {"head": "abn", "head_units": (512,)},
}
TRUNK = {"head": "abn", "head_units": (), "pooling": "root", "attention_channels": 128}
STORED_STEPS = 12


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live-steps", type=int, default=2, help="of each round")
    parser.add_argument("--branch-layer", help="measures an ABN with a trunk instead")
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args)
    title = "An epoch on stored features against a live one, VGG16"
    goal = 3 if args.branch_layer else 10
    show("epochs", title, "times as fast, median", rows, goal=goal)


def measure(folder, args):
    from dataclasses import replace

    from glr_keras.data.records import open_records
    from glr_keras.features.extraction import feature_views
    from glr_keras.models.backbones import build_networks
    from glr_keras.models.heads import build_head
    from glr_keras.models.objective import compile_model
    from glr_keras.models.precision import choose_precision
    from glr_keras.models.recognizer import Recognizer
    from glr_keras.training.batches import LivePhotos, StoredFeatures

    records = open_records(build_demo(folder, photos_per_landmark=14))
    base = base_config(weights="random", views=1, epochs=10_000)
    heads = HEADS
    if args.branch_layer:
        base = replace(base, branch_layer=args.branch_layer, train_trunk=True)
        heads = {f"ABN and its trunk behind {args.branch_layer}": TRUNK}
    base = choose_precision(base, folder / "data" / "features")
    backbone, trunk = build_networks(base)
    views = feature_views(records, backbone, "none", base, ["train"])
    rows = []
    for name, settings in heads.items():
        config = replace(base, **settings)
        head = build_head(config, len(records.landmarks), views["train"].shape, trunk)
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
