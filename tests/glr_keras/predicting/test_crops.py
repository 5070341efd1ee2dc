"""Crops cover a photo, and the best one gives the answer."""

import numpy as np
import pytest

from glr_keras.inference.landmark_model import Prediction
from glr_keras.predicting.crops import best_crops, crops_of


@pytest.mark.parametrize("framing", ["whole", "center"])
@pytest.mark.parametrize("shape", [(512, 512), (512, 683), (900, 512), (512, 1700)])
def test_crops_are_what_the_model_sees_and_cover_the_photo(shape, framing):
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows % 256, columns % 256, rows // 256 + 16 * (columns // 256)], -1)
    seen = np.zeros(shape, bool)
    for box, crop in list(crops_of(pixels.astype(np.uint8), framing))[1:]:
        side = min(crop.shape[:2])
        margin = round(side / 16) if framing == "center" else 0  # 1/8 of the side is not seen
        view = crop[margin : side - margin, margin : side - margin]
        top, left = round(box[0] * height), round(box[1] * width)
        assert abs(int(view[8, 8, 0]) - (top + 8) % 256) <= 2
        seen[top : round(box[2] * height), left : round(box[3] * width)] = True
    assert seen.all()


def test_the_crop_with_the_highest_score_answers(tmp_path):
    photo = np.zeros((64, 96, 3), np.uint8)
    photo[:32, :32] = 255  # bright in the upper left corner

    def ask(crops):
        assert len(crops) <= 4
        scores = [np.float32([crop.mean() / 255, 0]) for crop in crops]
        return [Prediction(["bright", "dark"], score, score) for score in scores]

    answer, missing = best_crops(
        ask, [photo, str(tmp_path / "gone.jpg")], 32, "whole", batch_size=4
    )
    assert answer.box == (0, 0, 0.5, 0.333)
    assert answer.scores[0] > 0.8
    assert missing == "missing"
