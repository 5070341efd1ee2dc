"""Builds TFRecords from a folder of photos: python -m tfrecords.build --photos PHOTOS --out DATA"""

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import warnings
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import absl.logging
from tqdm import tqdm

from tfrecords.console import UserError, run_command, start_tensorflow
from tfrecords.index import MIN_FOR_SPLIT, SPLITS, Listing, list_folder, split_photos
from tfrecords.photos import JPEG_QUALITY, REASONS, PhotoError, prepare_photo

SHORT_SIDE = 256  # pixels: what the eval view of a 224-pixel network is cut from
MANIFEST = "manifest.json"


def main() -> None:
    args = parse_args()
    build(args.photos, args.out, args.seed, args.short_side)
    print(f"Next: python -m glr_keras.fit --data-dir {args.out}")


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tfrecords.build",
        description="Turns a folder with one sub-folder of photos per landmark into TFRecords.",
    )
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder: PHOTOS/LANDMARK/any-name.jpg"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must not exist")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    parser.add_argument(
        "--short-side",
        type=int,
        default=SHORT_SIDE,
        help="scale larger photos down to this short side, in pixels (default: %(default)s)",
    )
    return parser.parse_args(argv)


def build(photos: Path, out: Path, seed: int = 0, short_side: int = SHORT_SIDE) -> None:
    """Reads every photo below `photos` and writes the records directory `out`.

    A photo that can't be used is left out and listed in `out/skipped.csv`. All is written to
    `out` + `.part` and renamed at the end, so `out` exists only when it is complete.

    Raises:
        UserError: no such folder, too few landmarks, `out` in use or not writable.
    """
    if short_side < 32:
        raise UserError(f"--short-side must be at least 32 pixels, got {short_side}.")
    listing = list_folder(photos)
    with _staging_folder(out) as staging:
        with PreparedPhotos(staging / "prepared.bin") as prepared:
            skipped = _prepare_all(listing, prepared, short_side)
            kept = [photo for photo in listing.photos if photo.photo_id in prepared]
            _check_kept(kept, skipped, photos)
            splits = split_photos(kept, seed)
            builder = _write_records(staging / "records", splits, prepared.read)
        records = Path(builder.data_dir)
        choice = {"source": "folder", "seed": seed, "short_side": short_side}
        _write_tables(records, builder, splits, skipped, choice | {"quality": JPEG_QUALITY})
        os.rename(records, out)
    _print_summary(out, listing, splits, skipped)


@dataclass(frozen=True)
class Skipped:
    """A photo that was left out; `reason` is a key of `tfrecords.photos.REASONS`."""

    photo_id: str
    reason: str


class PreparedPhotos:
    """The prepared JPEGs of all good photos in one file, since the split needs all of them first.

    Decoding is the slow part: it is done once, and the records are copied from here.
    """

    def __init__(self, path: Path):
        self.path = path
        self._places = {}

    def __enter__(self):
        self._file = open(self.path, "w+b")
        return self

    def __exit__(self, *_):
        self._file.close()

    def __contains__(self, photo_id):
        return photo_id in self._places

    def add(self, photo_id: str, jpeg: bytes) -> None:
        self._places[photo_id] = self._file.seek(0, os.SEEK_END), len(jpeg)
        self._file.write(jpeg)

    def read(self, photo) -> bytes:
        start, size = self._places[photo.photo_id]
        self._file.seek(start)
        return self._file.read(size)


@contextmanager
def _staging_folder(out):
    """A folder beside `out` to work in; gone afterwards, unless the process is killed."""
    staging = out.with_name(out.name + ".part")
    try:
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        if out.exists():
            raise UserError(
                f"{out} exists. Expected a folder that is not there yet: name another --out, or "
                "delete this one if you want to build it again."
            )
        if staging.exists():
            _delete_staging(staging)
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Can't write to {out} ({error.strerror}). Name another --out.") from error
    try:
        yield staging
    finally:
        _delete_staging(staging)


def _delete_staging(staging):
    if strangers := {path.name for path in staging.iterdir()} - {"prepared.bin", "records"}:
        raise UserError(
            f"{staging} is needed to work in and holds files of yours ({', '.join(strangers)}). "
            "Name another --out."
        )
    shutil.rmtree(staging)


def _prepare_all(listing, prepared, short_side):
    """Fills `prepared`, on all cores (Pillow's codecs run without Python's lock)."""

    def prepare(photo):
        try:
            return prepare_photo(photo.path.read_bytes(), short_side)
        except PhotoError as error:
            return error.reason
        except OSError:
            return "unreadable"

    skipped = [Skipped(name, "no landmark folder") for name in listing.strays]
    with ThreadPool() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the picture is what counts
        results = pool.imap(prepare, listing.photos)
        bar = tqdm(results, "Reading photos", len(listing.photos), unit=" photos")
        for photo, result in zip(listing.photos, bar, strict=True):
            if isinstance(result, bytes):
                prepared.add(photo.photo_id, result)
            else:
                skipped.append(Skipped(photo.photo_id, result))
    return sorted(skipped, key=lambda row: row.photo_id)


def _check_kept(kept, skipped, folder):
    photos = Counter(photo.landmark_id for photo in kept)
    reasons = ", ".join(f"{n} {reason}" for reason, n in _count_reasons(skipped)) or "none skipped"
    if len(photos) < 2:
        raise UserError(
            f"Expected good photos of at least two landmarks in {folder}, got {len(photos)} "
            f"({reasons})."
        )
    if max(photos.values()) < MIN_FOR_SPLIT:
        raise UserError(
            f"No landmark in {folder} has {MIN_FOR_SPLIT} good photos, so none can be validated "
            f"and tested ({reasons}). Add photos."
        )


def _write_records(folder, splits, read_photo):
    start_tensorflow()
    import tensorflow_datasets as tfds

    from tfrecords.builder import GoogleLandmarks, LandmarksConfig

    photos = sum(len(group) for group in splits.values())
    with tqdm(total=photos, desc="Writing records", unit=" photos") as bar:

        def read_and_count(photo):
            bar.update()
            return read_photo(photo)

        config = LandmarksConfig(
            name="photos",
            landmarks=sorted({photo.landmark_id for photo in splits["train"]}),
            splits=splits,
            read_photo=read_and_count,
        )
        with _quiet_tfds(tfds):
            builder = GoogleLandmarks(data_dir=folder, config=config)
            builder.download_and_prepare()
    return builder


@contextmanager
def _quiet_tfds(tfds):
    """TFDS tells of downloads and of the staging folder: both would mislead here."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
        absl.logging.set_verbosity(verbosity)


def _write_tables(records, builder, splits, skipped, choice):
    manifest = {
        "format": 1,
        **choice,
        "photos": {split: len(photos) for split, photos in splits.items()},
        "skipped": dict(_count_reasons(skipped)),
        "shards": [_describe_shard(*shard) for shard in _shards(records, builder)],
    }
    (records / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    _write_csv(
        records / "skipped.csv",
        ("photo", "reason"),
        [(row.photo_id, row.reason) for row in skipped],
    )
    counts = {split: Counter(p.landmark_id for p in photos) for split, photos in splits.items()}
    names = builder.info.features["label"].names
    rows = [
        (i, name, name, *(counts[split][name] for split in SPLITS)) for i, name in enumerate(names)
    ]
    _write_csv(records / "landmarks.csv", ("label", "landmark_id", "name", *SPLITS), rows)

    from tfrecords.histogram import draw_histogram

    draw_histogram(counts, records / "histogram.png")


def _shards(records, builder):
    for split, info in builder.info.splits.items():
        for name, length in zip(info.filenames, info.shard_lengths, strict=True):
            yield records / name, split, length


def _describe_shard(path, split, length):
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": path.name,
        "split": split,
        "records": length,
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def _write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _count_reasons(skipped):
    return sorted(Counter(row.reason for row in skipped).items())


def _print_summary(out, listing: Listing, splits, skipped):
    photos = Counter(photo.landmark_id for group in splits.values() for photo in group)
    total = sum(photos.values())
    print(f"{total} photos of {len(photos)} landmarks kept, {len(skipped)} left out.")
    for reason, count in _count_reasons(skipped):
        print(f"  {count} x {reason}: {REASONS[reason]}")
    few = sorted(name for name, count in photos.items() if count < MIN_FOR_SPLIT)
    if few:
        print(
            f"warning: fewer than {MIN_FOR_SPLIT} photos, so only trained on, never tested: "
            + ", ".join(few)
        )
    gone = sorted({photo.landmark_id for photo in listing.photos} - set(photos))
    if listing.empty_folders or gone:
        print("warning: no good photo, so no landmark: " + ", ".join(listing.empty_folders + gone))
    print("  " + ", ".join(f"{split} {len(group)}" for split, group in splits.items()))
    print(f"Records are in {out}, what was left out in {out / 'skipped.csv'}.")


if __name__ == "__main__":
    run_command(main, after_interrupt="Nothing was built; the same command starts again.")
