"""What a single record holds, and whether that is what it should hold."""

import io
import sys
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tfrecords.common.types import is_box
from tfrecords.images.fingerprints import fingerprint
from tfrecords.images.prepared import digest_of
from tfrecords.records.tfrecord_io import Frame, masked_crc
from tfrecords.validation.findings import Finding

FEATURES = {  # name -> where a tf.train.Feature keeps it, how many values there are
    "box": ("float_list", 4),
    "image": ("bytes_list", 1),
    "label": ("int64_list", 1),
    "landmark_id": ("bytes_list", 1),
    "photo_id": ("bytes_list", 1),
}
END_OF_IMAGE = b"\xff\xd9"
ORIENTATION, UPRIGHT = 0x0112, 1  # EXIF


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a record: some 800 bytes, half of it the fingerprint.

    Attributes:
        file: Name of its shard.
        split: That of its shard.
        number: Its place in the shard, from 1.
        photo_id, landmark_id, label: Empty, or None, where they can't be read.
        digest: Hash of its image; empty where that is damaged.
        fingerprint: What near-duplicates are found by; empty as `digest` is.
    """

    file: str
    split: str
    number: int
    photo_id: str = ""
    landmark_id: str = ""
    label: int | None = None
    digest: bytes = b""
    fingerprint: bytes = b""

    def __str__(self):
        photo = f" ({self.photo_id})" if self.photo_id else ""
        return f"{self.file}, record {self.number}{photo}"

    @property
    def is_known(self) -> bool:
        """Whether it is known which photo of which landmark this is."""
        return bool(self.photo_id and self.landmark_id) and self.label is not None


def check_record(
    frame: Frame, file: str, split: str, short_side: int | None
) -> tuple[Record, list[Finding]]:
    """Checks one record.

    Args:
        frame: From `read_frames`.
        file: Name of its shard.
        split: That of its shard.
        short_side: Int, pixels, that the short side of no photo exceeds; None to check framing and
            checksums only.
    """
    if damage := _find_damage(frame):
        values, _ = _parse(frame.data or b"")  # most often the photo_id can still be read
        record = Record(file, split, frame.number, values.get("photo_id", ""))
        return record, [Finding("record", f"{record}: {damage}")]
    if short_side is None:
        return Record(file, split, frame.number), []
    values, problems = _parse(frame.data)
    if "box" in values and not is_box(*values["box"]):
        sides = ", ".join(f"{side:g}" for side in values["box"])
        text = f"expected 0 <= ymin <= ymax <= 1 and so for x, got the box ({sides})"
        problems.append(("box", text))
    image = values.get("image")
    if image is not None and (problem := _find_image_problem(image, short_side)):
        problems.append(("image", problem))
        image = None
    landmark_id = sys.intern(values.get("landmark_id", ""))  # or each record would have its copy
    known = (values.get("photo_id", ""), landmark_id, values.get("label"))
    hashes = () if image is None else (digest_of(image), fingerprint(image))
    record = Record(file, split, frame.number, *known, *hashes)
    return record, [Finding(kind, f"{record}: {text}") for kind, text in problems]


def _find_damage(frame):
    if frame.problem:
        return frame.problem
    if masked_crc(frame.data) != frame.checksum:
        return "the data do not fit their checksum"
    return ""


def _parse(data) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Returns the values of a tf.train.Example that are what they should be, and the problems."""
    # TFDS has its own copy of these messages, which comes without TensorFlow: 0.5 s, not 6.
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    try:
        features = tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError as error:
        return {}, [("features", f"no tf.train.Example ({error})")]
    unknown = sorted(set(features) - set(FEATURES))
    problems = [("features", f"unknown feature {name}") for name in unknown]
    values = {}
    for name in FEATURES:
        try:
            values[name] = _read_feature(features, name)
        except ValueError as error:  # also what is no UTF-8
            problems.append(("features", f"{name}: {error}"))
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


def _find_image_problem(jpeg, short_side):
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
        orientation = photo.getexif().get(ORIENTATION, UPRIGHT)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"no whole JPEG ({str(error).partition(' <')[0]})"  # Pillow's ends in an address
    if orientation != UPRIGHT:
        return f"its EXIF has orientation {orientation}, which TensorFlow does not apply"
    return ""
