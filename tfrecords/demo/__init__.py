"""The built-in demo: photos of ten made-up landmarks, drawn by a program."""

from tfrecords.demo.photos import write_photos

__all__ = ["write_photos"]
