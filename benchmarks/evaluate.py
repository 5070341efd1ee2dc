"""How fast `evaluate` measures photos, and in how much memory: python benchmarks/evaluate.py RUN

Test photos of the run's records, as files, against the same model on ready views in batches of the
same size, in one process, alternately, so that other load on the machine disturbs both alike. Then
the whole command in processes of its own, on few and on many photos (the same files under more
names): its photos/s and its peak memory. For the second part a run of small photos is quick.
"""

import argparse
import os
import tempfile
from pathlib import Path

from measuring import compare_with_bare, peak_bytes, random_photos, run_quietly
from show import print_context

from tfrecords.common.console import start_tensorflow


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run whose records are there")
    parser.add_argument("--photos", type=int, default=320, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[], help="numbers of photos")
    args = parser.parse_args()
    print_context()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        files = write_photos(args.run, Path(folder), args.photos)
        if args.rounds:
            measure_rate(args, files)
        for number in args.memory:
            measure_memory(args.run, Path(folder), files, number)


def write_photos(run, folder, number):
    """Writes test photos into a folder per landmark; returns (landmark, path) of each."""
    from glr_keras.data.records import raw_records
    from glr_keras.inference.loading import records_of

    records, files = records_of(run), []
    rows = raw_records(records, "test").take(number).as_numpy_iterator()
    for place, row in enumerate(rows):
        landmark = records.landmarks[row["label"]]
        path = folder / "test" / landmark / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"])
        files.append((landmark, path))
    return files


def measure_rate(args, files):
    from tqdm import tqdm

    from glr_keras.evaluation.evaluating import collect
    from glr_keras.evaluation.sources import PHOTOS_BATCH, Evaluated, LabelledPhoto

    evaluated = Evaluated(args.run)
    recognizer = evaluated.model.recognizer
    names = evaluated.landmarks
    photos = [LabelledPhoto(str(path), str(path), names.index(name)) for name, path in files]
    photos = photos[: len(photos) // PHOTOS_BATCH * PHOTOS_BATCH]
    views = random_photos(PHOTOS_BATCH, *recognizer.backbone.input_shape[1:])

    def bare():
        for _ in range(len(photos) // PHOTOS_BATCH):
            recognizer.head.predict_on_batch(recognizer.backbone.predict_on_batch(views))

    def whole():
        collect(evaluated, evaluated.photo_batches(photos, tqdm(disable=True)), {})

    model = f"{recognizer.backbone.name}, batch {PHOTOS_BATCH}"
    compare_with_bare("evaluate", model, bare, whole, len(photos), args.rounds)


def measure_memory(run, folder, files, number):
    """Runs the command on `number` photos; prints its time and the peak of its memory."""
    photos = folder / f"{number}"
    for place in range(number):
        landmark, path = files[place % len(files)]
        (photos / landmark).mkdir(parents=True, exist_ok=True)
        os.link(path, photos / landmark / f"{place}.jpg")
    out = folder / f"out-{number}"
    seconds, usage = run_quietly("-m", "glr_keras.evaluate", run, "--photos", photos, "--out", out)
    peak = peak_bytes(usage) / 2**20
    print(f"{number:,} photos: {seconds:.0f} s, peak {peak:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
