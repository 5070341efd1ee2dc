"""Whole commands against the plain Keras way: python benchmarks/plain_keras.py

The plain way is a frozen VGG16 inside `model.fit` on the same records, views and ABN head. Each way
trains 3 epochs, then 3 epochs with another alpha; every process counts whole, with its start, its
extraction and (ours only) its figures and checkpoints.
"""

import argparse
import tempfile
from pathlib import Path

from measuring import run_quietly
from settings import FLAGS, base_config, build_demo
from show import print_context, show

from tfrecords.common.console import start_tensorflow

EPOCHS = 3
ALPHAS = (0.25, 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos-per-landmark", type=int, default=12, help="of 10 demo landmarks")
    parser.add_argument("--views", type=int, default=EPOCHS, help="of ours; the plain way has 3")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train_plainly(Path(args.child[0]), float(args.child[1]))
        return
    print_context()
    seconds = {"plain": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        data = build_demo(Path(folder), args.photos_per_landmark)
        for alpha in ALPHAS:
            plain = [__file__, "--child", data, alpha]
            ours = ["-m", "glr_keras.fit", *FLAGS, "--data-dir", data, "--weights", "random"]
            ours += ["--run-dir", f"{folder}/run-{alpha}", "--alpha", alpha, "--views", args.views]
            ours += ["--head-units", 512]
            for way, command in (("plain", plain), ("ours", ours)):
                seconds[way].append(run_quietly(*command)[0])
                print(f"{way}, alpha {alpha}: {seconds[way][-1]:.0f} s", flush=True)
    rows = [
        ("first run", seconds["plain"][0] / seconds["ours"][0]),
        ("second alpha", seconds["plain"][1] / seconds["ours"][1]),
        ("both", sum(seconds["plain"]) / sum(seconds["ours"])),
    ]
    title = f"Whole commands: plain Keras against ours, VGG16, {EPOCHS} epochs, {args.views} views"
    show("plain_keras", title, "times as fast", rows)


def train_plainly(data, alpha):
    """What a Keras user writes: everything in one model, everything in every epoch."""
    start_tensorflow()
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from glr_keras.data.records import decode_photo, open_records
    from glr_keras.data.views import make_view
    from glr_keras.models.backbones import build_backbone
    from glr_keras.models.heads import build_head
    from glr_keras.models.objective import compile_model
    from glr_keras.models.recognizer import Recognizer

    config = base_config(
        weights="random", precision="float32", alpha=alpha, head_units=(512,), epochs=EPOCHS
    )
    records = open_records(data)
    backbone = build_backbone(config)
    head = build_head(config, len(records.landmarks), backbone.output_shape[1:])
    model = Recognizer(backbone, head, records.landmarks, config.framing)
    model.build(backbone.input_shape)
    compile_model(model, config, steps_per_epoch=1)

    def batches(split, view):
        dataset = records.builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
        if view is not None:
            dataset = dataset.shuffle(1000)

        def show_labelled(record):
            photo = make_view(decode_photo(record), record["photo_id"], view, config)
            return photo, dict.fromkeys(model.branches, record["label"])

        dataset = dataset.map(show_labelled, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.batch(config.batch_size).prefetch(tf.data.AUTOTUNE)

    model.fit(
        batches("train", 0), validation_data=batches("validation", None), epochs=EPOCHS, verbose=0
    )


if __name__ == "__main__":
    main()
