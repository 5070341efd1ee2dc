"""What a record's bytes are."""

import pytest

from tfrecords.common.types import Photo
from tfrecords.records import schema as builder


@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 0.0), (0.1, 0.2, 0.3, 1.0)])
def test_record_is_what_tfds_serializes(label, box):
    photo = Photo("Petra/é\\1.jpg", "17", "1.jpg", box)
    features = builder.features(["Big Ben", "Mole Antonelliana", "Petra"])
    jpeg = bytes(range(256)) * 90
    serialized = features.serialize_example(builder.example(photo, jpeg, label))
    assert builder.record(photo, jpeg, label) == builder.order_fields(serialized)
