"""Features of a small network, stored in small blocks, and how many photos it was shown."""

import keras
from plain_config import plain_config

BLOCK = 8  # photos
CONFIG = plain_config(weights="random", image_size=32, epochs=2, precision="float32")


def set_blocks(monkeypatch):
    for module in ("view_files", "reuse", "missing", "computing"):
        monkeypatch.setattr(f"glr_keras.features.{module}.BLOCK", BLOCK)


def small_backbone():
    """Returns photos of 32 pixels -> features `(2, 2, 5)`, a size that VGG16 does not have."""
    keras.utils.set_random_seed(0)
    photos = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(5, 16, strides=16)(keras.layers.Rescaling(1 / 255)(photos))
    return keras.Model(photos, maps)


class Counting:
    """A backbone, with a count of the photos it is shown, and a switch that interrupts it."""

    def __init__(self, backbone, stop_at=None):
        self.backbone, self.photos, self.stop_at = backbone, 0, stop_at
        self.output_shape = backbone.output_shape

    def predict_on_batch(self, photos):
        if self.stop_at is not None and self.photos >= self.stop_at:
            raise KeyboardInterrupt
        assert len(photos) == BLOCK
        self.photos += int(photos.any((1, 2, 3)).sum())  # the last batch is filled up
        return self.backbone.predict_on_batch(photos)


def feature_files(data):
    """Returns every file of the features stored in a data folder, but for those of times.

    Returns:
        Path in that folder -> bytes.
    """
    paths = (data / "features").rglob("*")
    files = [path for path in paths if path.is_file() and path.suffix != ".verified"]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}
