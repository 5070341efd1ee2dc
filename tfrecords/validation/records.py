"""What a single record holds, and whether that is what it should hold."""

import hashlib
import io
from typing import NamedTuple

from PIL import Image

from tfrecords.images.near_duplicates import fingerprint
from tfrecords.records.tfrecord_io import Frame, masked_crc

KINDS = {  # of findings
    "table": "tables that are missing, unreadable or contradict each other",
    "shard": "shards that are not what was built",
    "record": "records that can't be read: TensorFlow stops there, or takes the shard for complete",
    "features": "records without the features they should have",
    "image": "photos that are no whole, upright RGB JPEGs of the right size",
    "label": "labels that are out of range or those of other landmarks",
    "box": "boxes that are none",
    "photo_id": "photo_ids that stand twice",
    "copy": "photos that stand twice in one split",
    "two splits": "photos with a copy in another split: tests would ask for what was learned",
    "two landmarks": "photos with a copy under another landmark",
    "split": "splits that are not what was asked for",
    "order": "shards in label order: a batch from them would show few landmarks",
}
FEATURES = {  # name -> where a tf.train.Feature keeps it, how many values there are
    "box": ("float_list", 4),
    "image": ("bytes_list", 1),
    "label": ("int64_list", 1),
    "landmark_id": ("bytes_list", 1),
    "photo_id": ("bytes_list", 1),
}
END_OF_IMAGE = b"\xff\xd9"
ORIENTATION, UPRIGHT = 0x0112, 1  # EXIF


class Finding(NamedTuple):
    """One thing that is wrong; `kind` is a key of `KINDS`."""

    kind: str
    text: str


class Row(NamedTuple):
    """What is known of a record once it was looked at.

    Attributes:
        number: Its place in the shard, from 1.
        problems: All that is wrong with it, without its place.
        photo_id: Empty where it can't be read; the other values too.
        digest: Hash of a good image.
        fingerprint: Of a good image, for `tfrecords.images.near_duplicates`.
    """

    number: int
    problems: list[Finding]
    photo_id: str = ""
    landmark_id: str = ""
    label: int | None = None
    digest: bytes = b""
    fingerprint: bytes = b""

    @property
    def is_known(self) -> bool:
        """Whether it is known which photo of which landmark this is."""
        return bool(self.photo_id and self.landmark_id) and self.label is not None


def examine(frame: Frame, short_side: int | None) -> Row:
    """Looks at one record.

    Args:
        frame: From `read_frames`.
        short_side: Int, pixels, that the short side of no photo exceeds; None to look at framing
            and checksums only.
    """
    damage = _find_damage(frame)
    if damage:
        values, _ = _parse(frame.data or b"")  # most often the photo_id can still be read
        return Row(frame.number, damage, values.get("photo_id", ""))
    if short_side is None:
        return Row(frame.number, [])
    values, problems = _parse(frame.data)
    if "box" in values and not _is_box(*values["box"]):
        sides = ", ".join(f"{side:g}" for side in values["box"])
        text = f"expected 0 <= ymin <= ymax <= 1 and so for x, got the box ({sides})"
        problems.append(Finding("box", text))
    marks = b"", b""
    if "image" in values:
        if problem := _judge_image(values["image"], short_side):
            problems.append(Finding("image", problem))
        else:
            marks = _digest(values["image"]), fingerprint(values["image"])
    ids = values.get("photo_id", ""), values.get("landmark_id", "")
    return Row(frame.number, problems, *ids, values.get("label"), *marks)


def _find_damage(frame):
    if frame.problem:
        return [Finding("record", frame.problem)]
    if masked_crc(frame.data) != frame.checksum:
        return [Finding("record", "the data do not fit their checksum")]
    return []


def _parse(data):
    """Returns the values of a tf.train.Example that are what they should be, and the problems."""
    # TFDS has its own copy of these messages, which comes without TensorFlow: 0.5 s, not 6.
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    try:
        features = tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError as error:
        return {}, [Finding("features", f"no tf.train.Example ({error})")]
    unknown = sorted(set(features) - set(FEATURES))
    problems = [Finding("features", f"unknown feature {name}") for name in unknown]
    values = {}
    for name in FEATURES:
        try:
            values[name] = _read_feature(features, name)
        except ValueError as error:  # also what is no UTF-8
            problems.append(Finding("features", f"{name}: {error}"))
    return values, problems


def _read_feature(features, name):
    kind, count = FEATURES[name]
    if name not in features:
        raise ValueError("missing")
    found = features[name].WhichOneof("kind")
    held = list(getattr(features[name], found).value) if found else []
    if found != kind or len(held) != count:
        raise ValueError(f"expected {count} in its {kind}, got {len(held)} in {found}")
    if name.endswith("_id"):
        if not held[0]:
            raise ValueError("empty")
        return held[0].decode()
    return held if count > 1 else held[0]


def _is_box(ymin, xmin, ymax, xmax):
    return 0 <= ymin <= ymax <= 1 and 0 <= xmin <= xmax <= 1


def _judge_image(jpeg, short_side):
    """Says what is wrong with an image; nothing if it is whole.

    Pillow and TensorFlow both fill the lower part of a JPEG with grey whose end was cut off and
    replaced by an end marker. `tfrecords.build` writes none, so this is not looked for.
    """
    try:
        photo = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        if (photo.format, photo.mode) != ("JPEG", "RGB"):
            return f"expected an RGB JPEG, got {photo.format} in {photo.mode}"
        if min(photo.size) > short_side:
            return f"short side of {min(photo.size)} pixels, expected at most {short_side}"
        if not jpeg.endswith(END_OF_IMAGE):  # Pillow does not always miss it, TensorFlow does
            return "no whole JPEG (its end is missing)"
        photo.load()
        turn = photo.getexif().get(ORIENTATION, UPRIGHT)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"no whole JPEG ({str(error).partition(' <')[0]})"  # Pillow's ends in an address
    if turn != UPRIGHT:
        return f"its EXIF asks to be turned (orientation {turn}), which TensorFlow does not do"
    return ""


def _digest(jpeg):
    return hashlib.blake2b(jpeg, digest_size=16).digest()
