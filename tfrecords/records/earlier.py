"""Records of an earlier build: its photos are taken over by a build of the same or of more photos.

A photo that was converted once need not be converted again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.console import UserError, command_line
from tfrecords.common.tables import SOURCES, read_table
from tfrecords.common.types import Photo
from tfrecords.images.fingerprints import fingerprint
from tfrecords.images.photo_file import PhotoError
from tfrecords.images.prepared import Prepared, PreparedPhotos, Reader, digest_of
from tfrecords.records.metadata import MANIFEST, Manifest, library_versions
from tfrecords.records.tfrecord_io import masked_crc, read_frames


@dataclass(frozen=True)
class EarlierRecords:
    """Records that an earlier build has written.

    Attributes:
        data: Their folder.
        manifest: What it says of them.
        sources: photo_id -> row of `sources.csv`; empty for records of an earlier version.
    """

    data: Path
    manifest: Manifest
    sources: Mapping[str, Mapping[str, str]]

    @classmethod
    def open(cls, data: Path) -> "EarlierRecords":
        """Reads what lies beside the shards.

        Raises:
            UserError: there are none.
        """
        try:
            manifest = Manifest.parse((data / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"No landmark records in {data} ({error}). Expected a folder that "
                "`python -m tfrecords.build` made."
            ) from error
        rows = read_table(data / SOURCES) if SOURCES in manifest.files else []
        return cls(data, manifest, {row["photo"]: row for row in rows})

    def photos(self) -> Iterator[tuple[Photo, Prepared, bytes]]:
        """Yields the photo of each record, what is known of it, and its JPEG, with a progress bar.

        Raises:
            UserError: a record is damaged.
        """
        # TFDS has its own copy of these messages, which comes without TensorFlow: 0.5 s, not 6.
        from tensorflow_datasets.proto import tf_example_pb2

        total = sum(self.manifest.photos.values())
        with tqdm(total=total, desc=f"Photos of {self.data.name}", unit=" photos") as bar:
            for shard in self.manifest.shards:
                for data in self._read(shard):
                    feature = tf_example_pb2.Example.FromString(data).features.feature
                    (jpeg,), (photo_id,), (landmark_id,) = (
                        feature[name].bytes_list.value
                        for name in ("image", "photo_id", "landmark_id")
                    )
                    box = tuple(feature["box"].float_list.value)
                    photo = Photo(photo_id.decode(), landmark_id.decode(), box=box)
                    source = bytes.fromhex(self.sources.get(photo.photo_id, {}).get("file", ""))
                    yield photo, Prepared(digest_of(jpeg), fingerprint(jpeg), source), jpeg
                    bar.update()

    def _read(self, shard):
        path, found = self.data / shard.file, 0
        for frame in read_frames(path) if path.exists() else ():
            if frame.problem or masked_crc(frame.data) != frame.checksum:
                break
            found += 1
            yield frame.data
        if found == shard.records:
            return
        command = command_line("tfrecords.check", self.data)
        raise UserError(f"{path} is damaged or missing. See what is wrong with: {command}")

    def take_over_unchanged(
        self, photos: Sequence[Photo], reader: Reader, prepared: PreparedPhotos, short_side: int
    ) -> None:
        """Takes the photos whose files have the bytes that they had when these records were built.

        Args:
            photos: Photos that are built now.
            reader: Reads them.
            prepared: Takes them.
            short_side: Of the build.
        """
        if reason := self._why_not_reused(short_side):
            print(f"No photo of {self.data} is taken over: {reason}.")
            return
        listed, taken = {photo.photo_id: photo for photo in photos}, 0
        for photo, known, jpeg in self.photos():
            try:
                now = listed[photo.photo_id]
                stamp = reader.stamp(now)
                is_same = bool(known.source) and digest_of(reader.read(now)) == known.source
            except (KeyError, OSError, PhotoError):
                continue  # one that is gone, or whose reason is found when it is prepared
            if is_same:
                prepared.take_over(now.photo_id, stamp, known, jpeg)
                taken += 1
        print(f"{taken:,} photos are taken from {self.data}; their files have not changed.")

    def _why_not_reused(self, short_side):
        if not self.sources:
            return "an earlier version built it"
        if self.manifest.short_side != short_side:
            return f"its --short-side is {self.manifest.short_side}"
        if self.manifest.versions != library_versions():
            return "other versions of the libraries that decode photos built it"
        return ""
