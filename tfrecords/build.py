"""Builds TFRecords from photos of landmarks: python -m tfrecords.build --help"""

import shlex
import shutil
from collections import Counter

from tfrecords.common.console import UserError, command_line, run_command
from tfrecords.common.files import rename_durably
from tfrecords.common.tables import SOURCES
from tfrecords.common.types import Skipped
from tfrecords.download.options import FetchOptions
from tfrecords.images.prepared import PreparedPhotos
from tfrecords.options import BuildOptions, parse_options
from tfrecords.records.adding import Addition
from tfrecords.records.earlier import EarlierRecords
from tfrecords.records.metadata import MANIFEST, describe_shards, write_metadata, write_sources
from tfrecords.records.staging import BEAM, PREPARED, RECORDS, check_space, staging_folder
from tfrecords.records.summary import print_summary
from tfrecords.records.writer import write_shards
from tfrecords.sources.archives import GOOGLE_LANDMARK_URL
from tfrecords.sources.challenge_csv import distinct_names, read_names
from tfrecords.sources.selection import choose_landmarks, read_landmarks_file
from tfrecords.sources.source import Source, archive_source, folder_source, index_source
from tfrecords.splitting.assignment import assign_photos


def main() -> None:
    options = parse_options()
    build(options)
    print(f"Next: {command_line('glr_keras.fit', '--data-dir', options.out)}")


def build(options: BuildOptions) -> None:
    """Reads the photos that `options` name and writes the records directory `options.out`.

    A photo that can't be used is left out and listed in `skipped.csv`. All is written to `OUT.part`
    and renamed at the end, so `OUT` exists only when it is complete. Interrupted or killed, the
    same call resumes, and ends with the same bytes.

    Raises:
        UserError: what is asked for is not there, contradicts itself or can't be written.
    """
    if options.beam_runner:
        options = options.for_beam()  # a wrong option is reported before any work
    earlier = EarlierRecords.open(options.earlier) if options.earlier else None
    addition = Addition(earlier, options.photo_folder) if earlier and options.add_to else None
    if addition:
        options = addition.settings(options)
    with staging_folder(options.out) as staging:
        with PreparedPhotos(staging / PREPARED, options.short_side) as prepared:
            source = open_source(options, is_addition=addition is not None)
            if addition:
                source = addition.extend(source, prepared)
            choice = _choose(source, options)
            over_limit = [Skipped(one.photo_id, "over the limit") for one in choice.over_limit]
            missing = _fetch(choice.photos, options)
            photos = [photo for photo in choice.photos if photo.photo_id not in missing]
            check_space(len(photos), options.short_side, staging)
            if earlier and options.reuse:
                earlier.take_over_unchanged(photos, source.reader, prepared, options.short_side)
            outcomes = list(_prepare(photos, source, prepared, options, staging))
            _mark_unusable(photos, outcomes, options)
            skipped = [*source.skipped, *over_limit, *missing.values()]
            assignment = assign_photos(
                photos, outcomes, skipped, options.split, options.seed, options.processes
            )
            ids = assignment.landmark_ids
            names = dict(zip(ids, distinct_names(ids, source.names), strict=True))
            if addition:
                addition.check(assignment)
            records, shards = _write(assignment, names, source, prepared, options, staging)
            write_sources(records / SOURCES, photos, outcomes, assignment)
            origin = {"source": source.kind} | options.describe_choice()
            if addition:
                origin |= addition.origin
            known = source.names | names
            write_metadata(records, shards, assignment, known, choice.listed, origin)
        rename_durably(records, options.out)
        shutil.rmtree(staging, ignore_errors=True)  # a network disk may hold on to a file of it
    read = Counter(photo.landmark_id for photo in choice.photos)
    print_summary(assignment, names, read, source, options.out)


def is_built(options: BuildOptions) -> bool:
    """Whether the records of a build that adds photos are there; of another one, nobody knows.

    Raises:
        UserError: others are in their place.
    """
    if not (options.out / MANIFEST).exists() or not options.add_to:
        return False
    addition = Addition(EarlierRecords.open(options.add_to), options.photo_folder)
    if addition.is_in(EarlierRecords.open(options.out), open_source(options, is_addition=True)):
        return True
    raise UserError(
        f"{options.out} holds other records than those of {options.add_to} and "
        f"{options.photo_folder}. Name another --out."
    )


def open_source(options: BuildOptions, is_addition: bool = False) -> Source:
    """Lists the photos that the options name; fetches archives if these are asked for.

    Args:
        options: BuildOptions.
        is_addition: Whether the photos are added to others: then one landmark is enough.

    Raises:
        UserError: files that are missing or can't be understood.
    """
    names = read_names(options.names) if options.names else {}
    if options.csv is None:
        split, least = (None, 1) if is_addition else (options.split, 2)
        return folder_source(options.photo_folder, names, split, options.follow_links, least)
    if options.tars or options.archives:
        return archive_source(
            options.csv,
            options.tar_folder,
            names,
            options.archives,
            options.archives_url or GOOGLE_LANDMARK_URL,
        )
    return index_source(options.csv, options.photo_folder, names, options.download)


def _choose(source, options):
    landmarks = None
    if options.landmarks:
        listed = {photo.landmark_id for photo in source.photos}
        landmarks = read_landmarks_file(options.landmarks, listed)
    return choose_landmarks(
        source.photos,
        top=options.top,
        skip_top=options.skip_top,
        landmarks=landmarks,
        min_photos=options.min_photos,
        max_photos=options.max_photos,
        seed=options.seed,
        skipped=source.skipped,
    )


def _fetch(photos, options):
    """Returns photo_id -> Skipped of the photos that could not be fetched."""
    if not options.download:
        return {}
    from tfrecords.download.downloader import fetch_photos

    if options.photos is None:
        flag = f"--photos {shlex.quote(str(options.photo_folder))}"
        print(f"Fetching photos; another --out uses them too, with {flag}.")
    return fetch_photos(photos, options.photo_folder, options.fetch or FetchOptions())


def _mark_unusable(photos, outcomes, options):
    """Lets --retry-failed fetch again what came and is no photo."""
    if not options.download:
        return
    from tfrecords.download.plan import mark_unusable

    reasons = {one.photo_id: one.reason for one in outcomes if isinstance(one, Skipped)}
    mark_unusable(photos, options.photo_folder, reasons)


def _prepare(photos, source, prepared, options, staging):
    """Returns what came of each photo, in their order."""
    if options.beam_runner:
        from tfrecords.beam.pipeline import prepare_with_beam

        outcomes = prepare_with_beam(
            photos, source.reader.read, options.short_side, staging / BEAM, options.beam_flags
        )
        return [outcomes[photo.photo_id] for photo in photos]
    prepared.fill(photos, source.reader, options.processes)
    return prepared.outcomes(photos)


def _write(assignment, names, source, prepared, options, staging):
    """Writes shards and TFDS's metadata; returns the folder they are in, and the shards."""
    folder = staging / RECORDS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    landmarks, labels, splits = list(names.values()), assignment.labels, assignment.splits
    if not options.beam_runner:
        return folder, write_shards(folder, landmarks, labels, splits, prepared.read)
    from tfrecords.beam.pipeline import write_with_beam

    folder = write_with_beam(
        folder,
        landmarks,
        labels,
        splits,
        source.reader.read,
        options.short_side,
        options.beam_flags,
    )
    return folder, describe_shards(folder)


if __name__ == "__main__":
    run_command(main, after_interrupt="The same command resumes; a build on Beam starts over.")
