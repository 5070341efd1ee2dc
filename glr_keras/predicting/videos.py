"""Frames of videos, one every so often, as photos with a time. No TensorFlow here."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tfrecords.images.decode import convert_photo

ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mts", ".3gp")
QUIET = "-8"  # FFmpeg's level of no messages: a video that can't be read gets a row


@dataclass(frozen=True)
class Frame:
    """A frame of a video. As text, it is the path with the time as a media fragment.

    Attributes:
        path: Of the video.
        seconds: Float, since its start.
        pixels: uint8 array `(height, width, 3)`, RGB.

    Reference:
    - [Media Fragments URI](https://www.w3.org/TR/media-frags/), section 4.2.1
    """

    path: str
    seconds: float
    pixels: np.ndarray

    def __str__(self):
        return f"{self.path}#t={self.seconds:.10g}"


def with_frames(paths: Iterable[str], every: float, short_side: int) -> Iterator[str | Frame]:
    """Yields paths of photos as they are, and of a video its frames.

    Args:
        paths: Of photos and videos.
        every: Float, seconds between two frames.
        short_side: Int, pixels; a short side above is scaled down to it.

    Yields:
        A path or a `Frame`. The path of a video that can't be read is yielded, too: as a photo, it
        gets a reason.
    """
    for path in paths:
        if not path.lower().endswith(ENDINGS):
            yield path
            continue
        frame = None
        for frame in _frames(path, every, short_side):
            yield frame
        if frame is None:
            yield path


class BestFrames:
    """Of each video and landmark, the frame with the highest score."""

    def __init__(self):
        self._best: dict[str, dict[str, tuple[float, Frame]]] = {}

    def add(self, frame: Frame, landmark: str, score: float) -> None:
        """Takes the answer for a frame."""
        of_video = self._best.setdefault(frame.path, {})
        if score > of_video.get(landmark, (-math.inf,))[0]:
            of_video[landmark] = (score, Frame(frame.path, frame.seconds, frame.pixels[:0]))

    def lines(self) -> Iterator[str]:
        """Yields a line per video and landmark, the likeliest first."""
        for path, of_video in self._best.items():
            yield f"Best frames of {path}:"
            ranked = sorted(of_video.items(), key=lambda one: -one[1][0])
            for landmark, (score, frame) in ranked:
                yield f"  {score:6.1%} {landmark} at {_clock(frame.seconds)}  {frame}"


def _frames(path, every, short_side):
    video = _open(path)
    due = 0.0
    try:
        while video is not None and video.grab():
            seconds = round(video.get(cv2.CAP_PROP_POS_MSEC) / 1000, 3)
            if seconds < due:
                continue
            is_read, pixels = video.retrieve()
            if is_read:
                due = (math.floor(seconds / every) + 1) * every
                rgb = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                yield Frame(path, seconds, np.asarray(convert_photo(rgb, short_side)))
    finally:
        if video is not None:
            video.release()


def _open(path):
    """Opens a regular file only: OpenCV would take other names for patterns, devices and URLs."""
    if not Path(path).is_file():
        return None
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", QUIET)
    try:
        video = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    except UnicodeEncodeError:  # a name of bytes that are no text
        return None
    return video if video.isOpened() else None


def _clock(seconds):
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}"
