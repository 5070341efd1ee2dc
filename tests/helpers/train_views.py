"""Batches of one view of the photos of a split."""

from glr_keras.data.records import decode_photo, raw_records
from glr_keras.data.views import make_view


def batches_of_view(records, split, view, config, batch_size):
    """As `photo_batches`, of a training view."""

    def show(record):
        photo = make_view(decode_photo(record), record["photo_id"], view, config)
        return {"photo": photo, "label": record["label"], "photo_id": record["photo_id"]}

    return raw_records(records, split).map(show).batch(batch_size)
