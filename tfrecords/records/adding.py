"""New photos for records that are there: both are built as if they had come together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tfrecords.common.console import UserError, command_line
from tfrecords.common.tables import LANDMARKS, SKIPPED, read_table
from tfrecords.common.types import Photo, Skipped
from tfrecords.images.photo_file import PhotoError
from tfrecords.images.prepared import Prepared, PreparedPhotos, digest_of
from tfrecords.records.earlier import EarlierRecords
from tfrecords.records.metadata import PRE_SPLIT, parse_landmarks
from tfrecords.sources.source import FileReader, Source
from tfrecords.splitting.assignment import Assignment

RESOLVED_AGAIN = ("duplicate", "two landmarks")  # reasons that a build finds among good photos
IN_RECORDS = "records"  # in place of the stamp of a photo's file
EXAMPLES = 5  # names shown in a message
Options = TypeVar("Options", bound=Any)  # tfrecords.options is above this part


class AddingReader(FileReader):
    """Reads photos that are added; those of the records are there already."""

    def stamp(self, photo: Photo) -> str:
        return super().stamp(photo) if photo.location else IN_RECORDS


@dataclass(frozen=True)
class Addition:
    """What adds the photos of a folder to records.

    Attributes:
        earlier: The records.
        folder: Of the new photos.
    """

    earlier: EarlierRecords
    folder: Path

    @property
    def data(self) -> Path:
        return self.earlier.data

    @property
    def origin(self) -> dict[str, Any]:
        """What the manifest says of where the photos come from."""
        names = ("source", "choice", "seed", "short_side")
        return {name: getattr(self.earlier.manifest, name) for name in names}

    def settings(self, options: Options) -> Options:
        """Returns build options with what these records were built with.

        Raises:
            UserError: their folder was split already, so nobody knows where new photos go.
        """
        manifest = self.earlier.manifest
        if manifest.split == PRE_SPLIT:
            build = command_line("tfrecords.build", "--reuse", self.data)
            raise UserError(
                f"{self.data} was built from a folder that is split already, so you must say where "
                "new photos go: put them into its train, validation and test, and build that: "
                f"{build} --photos PHOTOS --out OUT"
            )
        return replace(
            options,
            add_to=None,  # with which these would be refused
            split=tuple(manifest.split),
            seed=manifest.seed,
            short_side=manifest.short_side,
        )

    def extend(self, source: Source, prepared: PreparedPhotos) -> Source:
        """Returns a source of all photos.

        Args:
            source: Of the new photos.
            prepared: Takes the photos of the records.

        Raises:
            UserError: the new photos contradict these, or all of them are there already.
        """
        table = parse_landmarks((self.data / LANDMARKS).read_text(encoding="utf-8"))
        names = {row.landmark_id: row.name for row in table}
        new = self._named(source.photos, names)
        known = set(self.earlier.sources) or {one.photo_id for one, *_ in self.earlier.photos()}
        repeated = [photo for photo in new if photo.photo_id in known]
        self._check_repeated(repeated, len(new), source)
        old = [*self._take_records(prepared), *self._take_copies(prepared)]
        skipped = [
            Skipped(row["photo"], row["reason"], row["detail"])
            for row in read_table(self.data / SKIPPED)
            if not (self.earlier.sources and row["reason"] in RESOLVED_AGAIN)
        ]
        return replace(
            source,
            kind=self.earlier.manifest.source,
            photos=old + [photo for photo in new if photo.photo_id not in known],
            skipped=skipped + source.skipped,
            reader=AddingReader(),
            names=names,
        )

    def _named(self, photos: Sequence[Photo], names: Mapping[str, str]) -> list[Photo]:
        """Gives new photos the id of the landmark that their folder is called after."""
        if photos[0].split:
            raise UserError(
                f"{self.folder} is split into train, validation and test, and {self.data} is not. "
                "Put the landmarks' folders side by side: new photos are split as the others were."
            )
        ids = {name: landmark_id for landmark_id, name in names.items()}
        ids |= {landmark_id: landmark_id for landmark_id in names}
        in_small_letters = {name.casefold(): name for name in ids}
        for name in sorted({photo.landmark_id for photo in photos} - ids.keys()):
            if other := in_small_letters.get(name.casefold()):
                raise UserError(
                    f"{self.folder}/{name} and the landmark {other} of {self.data} differ in case "
                    f"only. Rename the folder to {other}, or to the name of another place."
                )
        return [
            replace(photo, landmark_id=ids.get(photo.landmark_id, photo.landmark_id))
            for photo in photos
        ]

    def _take_records(self, prepared):
        for photo, known, jpeg in self.earlier.photos():
            prepared.take_over(photo.photo_id, IN_RECORDS, known, jpeg)
            yield photo

    def _take_copies(self, prepared):
        """Photos that got no record, but may have copies among the new ones."""
        for photo_id, row in self.earlier.sources.items():
            if row["landmark_id"]:
                hashes = (bytes.fromhex(row[name]) for name in ("digest", "fingerprint", "file"))
                prepared.take_over(photo_id, IN_RECORDS, Prepared(*hashes), None)
                yield Photo(photo_id, row["landmark_id"])

    def _check_repeated(self, repeated, num_new, source):
        """Refuses files that have the names of others; the same ones are left out."""
        others = [
            one.photo_id
            for one in repeated
            if not self._is_made_of(self.earlier, one, source.reader)
        ]
        if others:
            shown = ", ".join(others[:EXAMPLES]) + ", ..." * (len(others) > EXAMPLES)
            raise UserError(
                f"{self.data} has other photos under the names of {len(others)} files in "
                f"{self.folder} ({shown}). Rename these files."
            )
        if len(repeated) == num_new:
            raise UserError(
                f"All photos of {self.folder} are in {self.data} already: nothing to add."
            )
        if repeated:
            print(f"{len(repeated):,} photos of {self.folder} are in {self.data} already.")

    def _is_made_of(self, records, photo, reader):
        row = records.sources.get(photo.photo_id)
        try:
            return row is not None and digest_of(reader.read(photo)).hex() == row["file"]
        except (OSError, PhotoError):
            return False

    def is_in(self, records: EarlierRecords, source: Source) -> bool:
        """Whether `records` were built of these and of the photos of `source`."""
        skipped = {row["photo"] for row in read_table(records.data / SKIPPED)}
        new = all(
            photo.photo_id in skipped or self._is_made_of(records, photo, source.reader)
            for photo in source.photos
        )
        return new and self.earlier.sources.keys() <= records.sources.keys()

    def check(self, assignment: Assignment) -> None:
        """Refuses to build the same records again.

        Raises:
            UserError: not one of the new photos is kept.
        """
        if not any(one.location for photos in assignment.splits.values() for one in photos):
            raise UserError(
                f"{self.folder} adds no photo to {self.data}: none is a good photo and no copy of "
                "one that is there."
            )
