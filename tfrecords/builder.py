"""GoogleLandmarks: the TensorFlow Datasets builder that writes prepared photos as records."""

import dataclasses
from collections.abc import Callable

import tensorflow_datasets as tfds

from tfrecords.index import Photo


@dataclasses.dataclass(eq=False, kw_only=True)
class LandmarksConfig(tfds.core.BuilderConfig):
    """Which photos become records.

    Attributes:
        name: Names this choice of photos; TFDS makes a folder of it.
        landmarks: Landmark ids in label order: the label is the position in this list.
        splits: Dict from split name to the photos in it.
        read_photo: Callable from a photo to the bytes of its upright RGB JPEG.
    """

    # Kept out of repr: TFDS logs its configs, and a million photos make a long line.
    landmarks: list[str] = dataclasses.field(default_factory=list, repr=False)
    splits: dict[str, list[Photo]] = dataclasses.field(default_factory=dict, repr=False)
    read_photo: Callable[[Photo], bytes] | None = dataclasses.field(default=None, repr=False)


class GoogleLandmarks(tfds.core.GeneratorBasedBuilder):
    """Photos of landmarks with label, ids and, where known, the landmark's box.

    TFDS orders the records of a shard by a hash of `photo_id`, so shards are shuffled once and the
    same on every machine.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS reads it as it is)
        "1.0.0": "First release."
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Photos of landmarks: which one does a photo show?",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(None, None, 3),
                        encoding_format="jpeg",
                        doc="Upright RGB photo, [0, 255].",
                    ),
                    "label": tfds.features.ClassLabel(names=self.builder_config.landmarks),
                    "photo_id": tfds.features.Text(),
                    "landmark_id": tfds.features.Text(),
                    "box": tfds.features.BBoxFeature(
                        doc="(ymin, xmin, ymax, xmax) in [0, 1] of the landmark; zeros if unknown."
                    ),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=False,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # the photos are here already
        return {
            split: self._generate_examples(photos)
            for split, photos in self.builder_config.splits.items()
        }

    def _generate_examples(self, photos):
        labels = {name: label for label, name in enumerate(self.builder_config.landmarks)}
        for photo in photos:
            yield (
                photo.photo_id,
                {
                    "image": self.builder_config.read_photo(photo),
                    "label": labels[photo.landmark_id],
                    "photo_id": photo.photo_id,
                    "landmark_id": photo.landmark_id,
                    "box": tfds.features.BBox(*photo.box),
                },
            )
