"""GoogleLandmarks: what a record holds, and the TensorFlow Datasets builder of it for Beam."""

import dataclasses
from typing import Any

import tensorflow_datasets as tfds

from tfrecords.records.schema import DESCRIPTION, SUPERVISED_KEYS, VERSION, features, order_fields
from tfrecords.records.writer import SHARD_PHOTOS


@dataclasses.dataclass(eq=False, kw_only=True)
class LandmarksConfig(tfds.core.BuilderConfig):
    """What becomes records.

    Attributes:
        name: Names this choice of photos; TFDS makes a folder of it.
        landmarks: Name of every landmark, in label order.
        examples: Dict from split name to the Beam transform that gives its (key, example) pairs.
    """

    # Kept out of repr: TFDS logs its configs, and 200,000 landmarks make a long line.
    landmarks: list[str] = dataclasses.field(default_factory=list, repr=False)
    examples: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)


class GoogleLandmarks(tfds.core.GeneratorBasedBuilder):
    """Photos of landmarks with label, ids and, where known, the landmark's box.

    Runs on Apache Beam: see `tfrecords.beam.pipeline.write_with_beam`. TFDS orders the records of a
    split by a hash of their keys, so shards are shuffled once and the same on every machine.
    """

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS reads it as it is)
        "1.0.0": "First release."
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=features(self.builder_config.landmarks),
            supervised_keys=SUPERVISED_KEYS,
            disable_shuffling=False,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # the photos are here already
        return {split: self._generate_examples(split) for split in self.builder_config.examples}

    def _generate_examples(self, split):
        return self.builder_config.examples[split]

    def _example_writer(self):
        return OrderedWriter(self.info.file_format)


class OrderedWriter(tfds.core.ExampleWriter):
    """Writes a shard on a worker, the same bytes on each."""

    def write(self, path, examples):
        """Writes (key, record) pairs to `path`."""
        return super().write(path, ((key, order_fields(record)) for key, record in examples))


class ShardCount:
    """Stands in for TFDS's `ShardConfig`: as many shards as the local build writes."""

    def __init__(self):
        self._shard_photos = SHARD_PHOTOS

    def get_number_shards(self, total_size, num_examples, uses_precise_sharding=True):
        """Returns Int, the number of shards of a split; TFDS calls it on a worker."""
        del total_size, uses_precise_sharding
        return -(-num_examples // self._shard_photos)


class LandmarksDownload(tfds.download.DownloadConfig):
    """How TFDS runs the builder."""

    def get_shard_config(self):
        return ShardCount()
