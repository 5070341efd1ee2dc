"""How close `predict` comes to the bare forward pass: python benchmarks/predict.py

Photo files in, rows out, against the same model on ready views in batches of the same size, in one
process, alternately, so that other load on the machine disturbs both alike. Prints photos/s of each
and their ratio.
"""

import argparse
import io
import tempfile
from pathlib import Path

from measuring import compare_with_bare, random_photos
from settings import base_config
from show import print_context

from glr_keras.inference.batching import predict_batches
from glr_keras.predicting.rows import start_rows
from tfrecords.common.console import start_tensorflow


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--head", default="abn")
    parser.add_argument("--photos", type=Path, help="folder of photos (default: the demo's)")
    parser.add_argument("--photos-per-landmark", type=int, default=10, help="of 10 demo landmarks")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, args.photos or draw_photos(Path(folder), args.photos_per_landmark))


def draw_photos(folder, photos_per_landmark):
    from tfrecords.demo.photos import write_photos

    write_photos(folder, photos_per_landmark=photos_per_landmark)
    return folder


def measure(args, folder):
    from glr_keras.inference.endpoints import build_endpoints
    from glr_keras.inference.landmark_model import BATCH, LandmarkModel
    from glr_keras.inference.loading import SHORT_SIDE
    from glr_keras.models.recognizer import build_model
    from tfrecords.sources.walk import files_below

    config = base_config(
        backbone=args.backbone, head=args.head, weights="random", precision="float32"
    )
    recognizer = build_model(config, 27)
    endpoints = build_endpoints(recognizer, SHORT_SIDE, of_bitmaps=True)  # as of a run
    model = LandmarkModel(
        endpoints, recognizer.landmarks, config.image_size, SHORT_SIDE, config.framing
    )
    paths = list(map(str, files_below(folder)))
    paths = paths[: len(paths) // BATCH * BATCH]  # whole batches, as the bare pass has them
    views = random_photos(BATCH, *recognizer.backbone.input_shape[1:])

    def bare():
        for _ in range(len(paths) // BATCH):
            recognizer.predict_on_batch(views)

    def predict():
        write_row = start_rows("csv", 5, io.StringIO(), has_maps=False)
        for batch, outcomes in predict_batches(model.try_predict, paths):
            for path, outcome in zip(batch, outcomes, strict=True):
                write_row(path, outcome, "")

    title = f"{args.backbone}, {args.head}, {config.image_size} pixels, batch {BATCH}"
    compare_with_bare("predict", title, bare, predict, len(paths), args.rounds)


if __name__ == "__main__":
    main()
