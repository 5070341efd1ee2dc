"""What a search costs beside the same search done the plain way: python benchmarks/search.py

The plain way is a KerasTuner whose model holds the frozen backbone, so that every epoch of every
trial runs it. Few of its trials are run, and the rest is extrapolated, which the output says. Both
are whole processes, on the same photos, settings and number of epochs; the search's time includes
the extraction of its features. Besides seconds, which other load on the machine disturbs, processor
time of each is printed.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from measuring import run_python
from settings import base_config, build_demo
from show import print_context

from tfrecords.common.console import start_tensorflow
from tfrecords.common.parallel import available_cores


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="records; without it, demo photos are drawn")
    parser.add_argument("--photos-per-landmark", type=int, default=43, help="of 10 demo landmarks")
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument(
        "--views", type=int, default=0, help="of each photo (default: one per epoch)"
    )
    parser.add_argument("--pooling", default="flatten", help="of the head, flatten or average")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--plain-trials", type=int, default=2)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        search_plainly(args)
        return
    print_context()
    with tempfile.TemporaryDirectory() as folder:
        compare(args, Path(folder))


def compare(args, folder):
    data = args.data_dir or build_demo(folder, args.photos_per_landmark)
    features = data / "features"
    if features.exists():
        sys.exit(
            f"{features} exists: the search is to compute its features. Name a copy of {data}."
        )
    shared = [
        *("--backbone", args.backbone, "--weights", args.weights, "--epochs", args.epochs),
        *("--image-size", args.image_size, "--views", args.views, "--pooling", args.pooling),
    ]
    plain = [__file__, *shared, "--plain-trials", args.plain_trials]
    plain_seconds, plain_work = run([*plain, "--data-dir", data, "--plain", folder / "plain"])
    trials = json.loads((folder / "plain.json").read_text())
    start_up = plain_seconds - sum(one["seconds"] for one in trials)
    start_up_work = plain_work - sum(one["work"] for one in trials)
    seconds = start_up + args.trials * sum(one["seconds"] for one in trials) / len(trials)
    work = start_up_work + args.trials * sum(one["work"] for one in trials) / len(trials)
    search = [
        *("-m", "tuning.search", *shared, "--max-trials", args.trials),
        *("--head-units", 512, "--attention-channels", 128, "--space", "alpha,beta,learning_rate"),
        *("--optimizer", "sgd", "--schedule", "constant", "--warmup-epochs", 0),
    ]
    found, found_work = run([*search, "--data-dir", data, "--out", folder / "search"])
    print(
        f"{args.backbone}, {args.trials} trials of {args.epochs} epochs, {available_cores()} cores"
    )
    print(
        f"plain tuner: {seconds:.0f} s, {work:.0f} s of processor time (EXTRAPOLATED from "
        f"{len(trials)} trials that took {plain_seconds:.0f} s and {plain_work:.0f} s)"
    )
    print(f"this search: {found:.0f} s, {found_work:.0f} s of processor time, extraction included")
    print(f"ratio: {seconds / found:.1f} in seconds, {work / found_work:.1f} in processor time")
    show_parts(folder / "search")


def run(arguments):
    """Runs Python; returns its seconds and its processor time."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    seconds, usage = run_python(*arguments, env=environment)
    return seconds, usage.ru_utime + usage.ru_stime


def show_parts(search):
    """Prints where the time of the search's trials went."""
    results = [json.loads(path.read_text()) for path in search.glob("trials/*/result.json")]
    parts = [one["seconds"] for one in results]
    mean = {part: sum(one[part] for one in parts) / len(parts) for part in parts[0]}
    shown = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in mean.items())
    print(f"a trial, on average: {sum(mean.values()):.1f} s, of which {shown}")


def search_plainly(args):
    """Searches as KerasTuner's guide does: model with backbone, its own search and checkpoints."""
    start_tensorflow()
    import keras
    import keras_tuner

    from glr_keras.data.records import open_records
    from glr_keras.models.precision import choose_precision
    from glr_keras.training.batches import LivePhotos, steps_per_epoch

    records = open_records(args.data_dir)
    config = base_config(
        backbone=args.backbone,
        weights=args.weights,
        image_size=args.image_size,
        views=args.views,
        epochs=args.epochs,
        head_units=(512,),
        attention_channels=128,
        pooling=args.pooling,
    )
    config = choose_precision(config, args.plain.with_suffix(".precision"))
    source = LivePhotos(records, ("attention", "perception"), len(records.landmarks), config)
    source.index("train")  # read now: inside tf.data it can't be
    steps = steps_per_epoch(records.num_photos("train"), config.batch_size)
    times = []

    def build(hp):
        times.append((time.perf_counter(), time.process_time()))
        return build_plainly(hp, config, records, steps)

    keras.utils.set_random_seed(0)
    tuner = keras_tuner.RandomSearch(
        build,
        objective=keras_tuner.Objective("val_perception_accuracy", "max"),
        max_trials=args.plain_trials,
        seed=1,
        directory=args.plain,
    )
    del times[:]  # building the space built a model
    tuner.search(
        source.train_batches(0),
        steps_per_epoch=steps,
        epochs=config.epochs,
        validation_data=source.eval_batches("validation"),
        verbose=2,
    )
    times.append((time.perf_counter(), time.process_time()))
    spans = itertools.pairwise(times)
    trials = [{"seconds": b[0] - a[0], "work": b[1] - a[1]} for a, b in spans]
    args.plain.with_suffix(".json").write_text(json.dumps(trials))


def build_plainly(hp, config, records, steps):
    """A model of everything: frozen backbone and head, compiled."""
    from glr_keras.models.objective import compile_model
    from glr_keras.training.train import build_recognizer

    config = replace(
        config,
        alpha=hp.Float("alpha", 0, 1),
        beta=hp.Float("beta", 0.25, 4, sampling="log"),
        learning_rate=hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"),
    )
    model, _ = build_recognizer(config, records)
    compile_model(model, config, steps)
    return model


if __name__ == "__main__":
    main()
