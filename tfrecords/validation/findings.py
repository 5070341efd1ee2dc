"""What `python -m tfrecords.check` can find."""

from typing import NamedTuple

KINDS = {  # of findings
    "table": "tables that are missing, unreadable or not those that were built",
    "shard": "shards that are not those that were built",
    "record": "records that can't be read: TensorFlow stops there, or takes the shard for complete",
    "features": "records without the features they should have",
    "image": "photos that are no whole, upright RGB JPEGs of the correct size",
    "label": "labels that are out of range or those of other landmarks",
    "box": "boxes that are none",
    "photo_id": "repeated photo_ids",
    "copy": "photos that are repeated in one split",
    "two splits": "photos with a copy in another split: tests would ask for what was learned",
    "two landmarks": "photos with a copy under another landmark",
}


class Finding(NamedTuple):
    """One thing that is wrong; `kind` is a key of `KINDS`."""

    kind: str
    text: str
