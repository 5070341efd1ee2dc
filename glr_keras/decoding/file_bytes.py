"""Numbers and texts in the bytes of a file, read inside a TensorFlow graph."""

import tensorflow as tf


class FileBytes:
    """A file, or a part of one. What lies beyond its end reads as zero.

    Places are int64 Tensors of any shape, and so are the numbers read there.
    """

    def __init__(self, values: tf.Tensor):
        self.size = tf.size(values, out_type=tf.int64)
        self._values = tf.concat([values, tf.zeros([1], tf.uint8)], 0)

    @classmethod
    def of(cls, contents: tf.Tensor, limit: int | None = None) -> "FileBytes":
        """Makes one of a string Tensor, or of its first `limit` bytes."""
        if limit is not None:
            contents = tf.strings.substr(contents, 0, limit)
        return cls(tf.io.decode_raw(contents, tf.uint8))

    def part(self, start: tf.Tensor, size: tf.Tensor) -> "FileBytes":
        """Returns the bytes from `start` on, `size` of them or as many as there are."""
        start = tf.clip_by_value(start, 0, self.size)
        return FileBytes(self._values[start : tf.clip_by_value(start + size, start, self.size)])

    def byte(self, place):
        place = tf.convert_to_tensor(place, tf.int64)
        is_inside = (place >= 0) & (place < self.size)
        return tf.cast(tf.gather(self._values, tf.where(is_inside, place, self.size)), tf.int64)

    def number(self, place, width, is_little=False):
        """Reads an unsigned number of `width` bytes; big-endian, unless `is_little`."""
        place = tf.convert_to_tensor(place, tf.int64)
        powers = [256**power for power in range(width)]
        little, big = (tf.constant(one, tf.int64) for one in (powers, powers[::-1]))
        factors = tf.where(is_little, little, big)
        digits = self.byte(place[..., None] + tf.range(width, dtype=tf.int64))
        return tf.reduce_sum(digits * factors, -1)

    def window(self, place, size: int):
        """Returns `size` bytes from a place on, a scalar: int64 `(size,)`."""
        return self.byte(place + tf.range(size, dtype=tf.int64))

    def matches(self, place, text: bytes):
        """Whether `text` stands at a place, a scalar."""
        return starts_with(self.window(place, len(text)), text)

    def find(self, text: bytes):
        """Returns every place at which `text` stands, ascending."""
        count = tf.maximum(self.size - len(text) + 1, 0)
        parts = [self._values[start : start + count] == byte for start, byte in enumerate(text)]
        return tf.where(tf.reduce_all(tf.stack(parts), 0))[:, 0]


def starts_with(window: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether bytes `(size,)` begin with `text`."""
    return tf.reduce_all(window[: len(text)] == tf.constant(list(text), window.dtype))
