"""Peak memory of training on few and on many photos: python benchmarks/memory.py

Two processes of their own train VGG16's 4096-4096 head on stored features of 4,000 and of 40,000
photos (features of noise, repeated; 2.2 GB of disk): each builds the whole network, runs it on a
batch, checks every stored byte, trains, measures on validation and saves a checkpoint.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measuring import peak_bytes, result_of
from settings import base_config
from show import print_context, show

from tfrecords.common.console import start_tensorflow

LANDMARKS = 27
SHAPE = (7, 7, 512)
STEPS = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[4000, 40_000])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train(Path(args.child[0]), int(args.child[1]))
        return
    print_context()
    rows = []
    for photos in args.photos:
        with tempfile.TemporaryDirectory() as folder:
            peak = result_of(__file__, "--child", folder, photos)
        rows.append((f"{photos:,} photos", peak / 2**30))
    show("memory", "Peak resident memory of training", "GiB", rows, goal=3)


def train(folder, photos):
    """Trains, and prints the peak of this process in bytes."""
    start_tensorflow()
    from glr_keras.features.missing import find_missing
    from glr_keras.features.view_files import BLOCK
    from glr_keras.models.backbones import build_backbone
    from glr_keras.models.heads import build_head
    from glr_keras.models.objective import compile_model
    from glr_keras.runs.run_dir import RunDir
    from glr_keras.training.batches import StoredFeatures
    from glr_keras.training.checkpoint import Checkpoint

    config = base_config(head="dropout", weights="random", precision="float32", views=1)
    backbone = build_backbone(config)
    block = backbone.predict_on_batch(np.zeros((BLOCK, 224, 224, 3), np.float32))
    views = {s: make_views(folder, s, n, block) for s, n in split(photos).items()}
    if find_missing(views.values()):
        raise RuntimeError("features that were just written are not found")
    head = build_head(config, LANDMARKS, SHAPE)
    compile_model(head, config, STEPS)
    head.optimizer.build(head.trainable_variables)
    run = RunDir(folder / "run")
    run.path.mkdir()
    checkpoint = Checkpoint(head, run, config, STEPS)
    source = StoredFeatures(views, head.branches, LANDMARKS, config)
    head.fit(
        source.train_batches(0),
        steps_per_epoch=STEPS,
        verbose=0,
        validation_data=source.eval_batches("validation"),
        validation_steps=4,
        callbacks=[checkpoint],
    )
    checkpoint.finish()
    print(peak_bytes())


def split(photos):
    return {"train": photos, "validation": photos // 10}


def make_views(folder, name, photos, block):
    from glr_keras.features.store import FeatureViews
    from glr_keras.features.view_files import BLOCK, ViewFile

    (folder / name).mkdir()
    file = ViewFile(folder / name / "view-0.npy", (photos, *SHAPE))
    for number in range(file.num_blocks):
        file.write_block(number, block[: min(BLOCK, photos - number * BLOCK)])
    labels = np.arange(photos) % LANDMARKS
    return FeatureViews(name, {0: file}, labels, [str(n) for n in range(photos)])


if __name__ == "__main__":
    main()
