"""The build on Apache Beam, for photos that outgrow one machine.

Every photo is read and prepared twice: first for its fingerprint, since copies and splits need
those of all photos, then for its record. Between the two runs only text is kept. Every worker needs
this package, and the photos and the folder of the records at the paths they have for the command.
"""

import functools
import io
import json
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path

import absl.logging

from tfrecords.beam.options import LOCAL_RUNNER, import_beam
from tfrecords.common.console import UserError, start_tensorflow, stderr_held_back
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.prepared import Outcome, Prepared, prepare

OUTCOMES = "outcomes"


def prepare_with_beam(
    photos: Sequence[Photo],
    read: Callable[[Photo], bytes],
    short_side: int,
    folder: Path,
    flags: list[str],
) -> dict[str, Outcome]:
    """Reads every photo once and returns what came of it.

    Args:
        photos: Photos with unique ids.
        read: Callable from a photo to the bytes of its file. It is pickled for the workers, which
            may call it from several threads.
        short_side: Int, pixels.
        folder: Emptied and worked in; on a file system that all workers share.
        flags: What `tfrecords.beam.options.parse_beam_options` gave.

    Returns:
        Dict from photo_id to the outcome.

    Raises:
        UserError: not all outcomes came: the folder is not shared.
    """
    beam = import_beam()
    folder = _empty_folder(folder)
    listing = _write_listing(folder / "photos.jsonl", ((photo, None) for photo in photos))
    reader = _write_reader(folder / "reader.pickle", read)
    print(f"Reading {len(photos):,} photos on Apache Beam.")
    with _explained(flags), beam.Pipeline(options=_pipeline_options(beam, flags)) as pipeline:
        _ = (
            pipeline
            | _prepare_listed(beam, listing, reader, short_side)
            | beam.Map(_outcome_line)
            | beam.io.WriteToText(str(folder / OUTCOMES), ".jsonl")
        )
    outcomes = dict(_read_outcomes(folder))
    if len(outcomes) != len(photos):
        raise UserError(
            f"Expected what came of {len(photos)} photos in {folder}, found {len(outcomes)}. All "
            "workers must see that folder under the same path: choose an --out that they share."
        )
    return outcomes


def write_with_beam(
    folder: Path,
    landmarks: list[str],
    labels: Mapping[str, int],
    splits: Mapping[str, Sequence[Photo]],
    read: Callable[[Photo], bytes],
    short_side: int,
    flags: list[str],
) -> Path:
    """Prepares every photo again and writes the records.

    Args:
        folder: Emptied and worked in; on a file system that all workers share.
        landmarks: Name of every landmark, in label order.
        labels: Dict from landmark_id to label.
        splits: Dict from split name to good photos; an empty split is left out.
        read: As in `prepare_with_beam`.
        short_side: Int, pixels.
        flags: As in `prepare_with_beam`.

    Returns:
        Path of the records: a complete TFDS directory, below `folder`.
    """
    beam = import_beam()
    start_tensorflow()
    import tensorflow_datasets as tfds

    from tfrecords.beam.tfds_builder import GoogleLandmarks, LandmarksConfig, LandmarksDownload

    folder = _empty_folder(folder)
    reader = _write_reader(folder / "reader.pickle", read)
    examples = {}
    for split, photos in splits.items():
        if photos:
            rows = ((photo, labels[photo.landmark_id]) for photo in photos)
            listing = _write_listing(folder / f"{split}.jsonl", rows)
            prepared = _prepare_listed(beam, listing, reader, short_side)
            examples[split] = prepared | beam.Map(_keyed_example)
    print(f"Writing {sum(map(len, splits.values())):,} records on Apache Beam.")
    config = LandmarksConfig(name="photos", landmarks=landmarks, examples=examples)
    with _explained(flags), _quiet(tfds):
        builder = GoogleLandmarks(data_dir=folder, config=config)
        builder.download_and_prepare(
            download_config=LandmarksDownload(beam_options=_pipeline_options(beam, flags))
        )
    return Path(builder.data_dir)


def _pipeline_options(beam, flags):
    return beam.options.pipeline_options.PipelineOptions(flags)


def _empty_folder(folder):
    if folder.exists():  # an interrupted build's
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder.resolve()


def _write_listing(path, rows: Iterable[tuple[Photo, int | None]]) -> Path:
    """Writes a line of JSON per photo: a pipeline itself is too small for a million of them."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps([asdict(photo), label]) + "\n" for photo, label in rows)
    return path


def _write_reader(path, read):
    """Pickles `read` beside the list: an index of archives is too large for a pipeline as well."""
    path.write_bytes(pickle.dumps(read))
    _load_reader.cache_clear()  # a runner in this process may know another one by that path
    return path


def _prepare_listed(beam, listing, reader, short_side):
    """A transform that gives (photo, label, what `prepare` gave)."""
    return (
        beam.io.ReadFromText(str(listing))
        | beam.Reshuffle()  # else the worker that reads the list prepares all of its photos
        | beam.Map(_prepare_line, str(reader), short_side)
    )


def _prepare_line(line, reader, short_side):
    row, label = json.loads(line)
    photo = Photo(**row | {"box": tuple(row["box"])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the picture is what counts
        return photo, label, prepare(photo, _load_reader(reader), short_side)


@functools.lru_cache(maxsize=1)
def _load_reader(path):
    return pickle.loads(Path(path).read_bytes())


def _outcome_line(prepared):
    photo, _, result = prepared
    if isinstance(result, Skipped):
        return json.dumps([photo.photo_id, result.reason, result.detail])
    _, known = result
    hashes = (known.digest, known.fingerprint, known.source)
    return json.dumps([photo.photo_id, "", *(one.hex() for one in hashes)])


def _read_outcomes(folder) -> Iterator[tuple[str, Outcome]]:
    for path in folder.glob(f"{OUTCOMES}*"):
        with open(path, encoding="utf-8") as file:
            for line in file:
                photo_id, reason, *known = json.loads(line)
                good = Prepared(*map(bytes.fromhex, known)) if not reason else None
                yield photo_id, good or Skipped(photo_id, reason, *known)


def _keyed_example(prepared):
    # Imported here: it takes TensorFlow Datasets, which the first run does without.
    from tfrecords.records.schema import example

    photo, label, result = prepared
    if isinstance(result, Skipped):
        raise OSError(
            f"{photo.photo_id} was good when it was read first and is not now: {result.reason}. "
            "Let the photos alone while they are built, and type the same command again."
        )
    # As bytes, since TFDS would turn the backslashes of a str to slashes.
    return photo.photo_id.encode(), example(photo, result[0], label)


@contextmanager
def _explained(flags):
    """Ends what went wrong in a pipeline with one line; all that workers said of it is above."""
    local = f"--runner={LOCAL_RUNNER}" in flags  # its workers print to our standard error
    try:
        with stderr_held_back() if local else nullcontext():
            yield
    except Exception as error:
        reason = str(error).strip().rpartition("\n")[2] or repr(error)
        raise UserError(
            f"The build on Apache Beam failed: {reason}\nWhat the workers printed is above, or in "
            "the logs of the runner; one that said nothing most likely ran out of memory. The same "
            "command starts again from the beginning."
        ) from error


@contextmanager
def _quiet(tfds):
    """TFDS prints of downloads and of its own folders: both would mislead here."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
        absl.logging.set_verbosity(verbosity)
