"""A video gives frames at the times asked for, upright and in RGB."""

import cv2
import numpy as np

from glr_keras.predicting.videos import BestFrames, Frame, with_frames


def write_video(path, seconds=4, rate=5):
    """A video that is red in its first half and blue in its second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    assert writer.isOpened()
    for number in range(seconds * rate):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 2 if number < seconds * rate / 2 else 0] = 255  # BGR
        writer.write(picture)
    writer.release()
    return str(path)


def test_frames_come_at_even_times_between_the_photos(tmp_path):
    video = write_video(tmp_path / "a.AVI")
    photos = list(with_frames(["a.jpg", video, "b.jpg"], 1.5, 32))
    assert list(map(str, photos)) == [
        "a.jpg",
        f"{video}#t=0",
        f"{video}#t=1.6",
        f"{video}#t=3",
        "b.jpg",
    ]
    red, _, blue = photos[1:4]
    assert red.pixels.shape == (32, 43, 3)
    np.testing.assert_allclose(red.pixels[16, 20], [255, 0, 0], atol=6)
    np.testing.assert_allclose(blue.pixels[16, 20], [0, 0, 255], atol=6)


def test_what_is_no_video_is_given_on_to_get_its_reason(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    paths = [str(broken), str(tmp_path / "gone.mov"), "http://nowhere/x.mp4", "\udcff.mp4"]
    assert list(with_frames(paths, 1, 32)) == paths


def test_the_best_frame_of_each_landmark_is_named_with_its_time():
    best = BestFrames()
    pixels = np.zeros((4, 4, 3), np.uint8)
    for seconds, landmark, score in [(0, "a", 0.5), (61.25, "a", 0.9), (2, "b", 0.95)]:
        best.add(Frame("v.mp4", seconds, pixels), landmark, score)
    assert list(best.lines()) == [
        "Best frames of v.mp4:",
        "   95.0% b at 0:00:02.0  v.mp4#t=2",
        "   90.0% a at 0:01:01.2  v.mp4#t=61.25",
    ]
