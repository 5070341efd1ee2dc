"""The photos of a report as JPEG data URIs: thumbnails, and photos under their maps."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from glr_keras.data.records import Records, decode_photo, raw_records
from glr_keras.data.views import eval_view
from glr_keras.models.attention import explain
from glr_keras.models.recognizer import Recognizer
from glr_keras.reporting.figures import overlay_heatmap
from glr_keras.runs.predictions import FILE, PhotoResult
from glr_keras.runs.suspects import Suspect
from tfrecords.common.console import UserError

SIDE, QUALITY = 160, 75  # pixels of the long side, and JPEG quality: 6 KB a photo
MAP_SIDE = 224  # pixels
BATCH = 8  # photos explained at once
MAX_BYTES = 7_000_000  # of all thumbnails of a report, so that its file stays below 10 MB


@dataclass
class PhotoImages:
    """Images by the number of the photo.

    Attributes:
        thumbnails: Whole photos.
        views: The squares that the model has seen.
        overlays: The same under their maps.
        suspects: Whole photos, by the number of the suspect instead.
    """

    thumbnails: dict[int, str] = field(default_factory=dict)
    views: dict[int, str] = field(default_factory=dict)
    overlays: dict[int, str] = field(default_factory=dict)
    suspects: dict[int, str] = field(default_factory=dict)


def read_images(
    records: Records,
    recognizer: Recognizer,
    results: Sequence[PhotoResult],
    shown: Sequence[int],
    explained: Sequence[int],
    max_bytes: int = MAX_BYTES,
) -> PhotoImages:
    """Reads some test photos of the records, and explains a few of them.

    Args:
        records: Those that the run was tested on.
        recognizer: Recognizer of the run.
        results: One per test photo.
        shown: Numbers of the photos that get a thumbnail, the most important first.
        explained: Numbers of the photos that get a map: the backbone sees these only.
        max_bytes: Of all thumbnails; those that are beyond it are left out.

    Raises:
        UserError: `results` are of other photos.
    """
    images = PhotoImages()
    views = {}
    wanted = {*shown, *explained}
    for number, record in enumerate(raw_records(records, "test")):
        if number not in wanted:
            continue
        photo_id = record["photo_id"].numpy().decode()
        if photo_id != results[number].photo_id:
            raise UserError(
                f"{FILE} is not of these records: test photo {number} is {photo_id}, not "
                f"{results[number].photo_id}. Delete it: the photos are recognised again then."
            )
        if number in explained:
            photo, size = decode_photo(record), recognizer.image_size
            views[number] = eval_view(photo, size, recognizer.framing).numpy()
        images.thumbnails[number] = thumbnail(record["image"].numpy())
    _explain(recognizer, views, images)
    room = max_bytes
    for number in shown:
        room -= len(images.thumbnails[number])
        if room < 0:
            del images.thumbnails[number]
    return images


def read_suspect_photos(records: Records, suspects: Sequence[Suspect]) -> dict[int, str]:
    """Returns thumbnails of photos of any split, by their place among the suspects.

    A photo that is another one in these records is left out.
    """
    found = {}
    for split in {one.split for one in suspects}:
        places = {one.number: place for place, one in enumerate(suspects) if one.split == split}
        for number, record in enumerate(raw_records(records, split)):
            place = places.get(number)
            if place is not None and record["photo_id"].numpy().decode() == suspects[place].photo:
                found[place] = thumbnail(record["image"].numpy())
    return found


def thumbnail(contents: bytes) -> str:
    """Returns the photo in `contents`, JPEG, as a small one."""
    with Image.open(io.BytesIO(contents)) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))  # decodes a quarter of the pixels where that does
        image.thumbnail((SIDE, SIDE))
        return data_uri(image.convert("RGB"))


def _explain(recognizer, views, images):
    numbers = list(views)
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        _, maps = explain(recognizer, np.stack([views[number] for number in batch]))
        for number, attention_map in zip(batch, maps, strict=True):
            images.views[number] = _square(views[number])
            images.overlays[number] = _square(overlay_heatmap(views[number], attention_map))


def _square(pixels):
    image = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    return data_uri(image.resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BILINEAR))


def data_uri(image: Image.Image) -> str:
    """Returns an image as a JPEG in a URI."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
