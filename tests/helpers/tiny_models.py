"""A recogniser of a few weights: photos of 8 x 12 pixels -> features (2, 3, 4) -> a head."""

import keras
import numpy as np

from glr_keras.models.recognizer import Recognizer

SHAPE = (2, 3, 4)  # height, width, channels: all different, so that no mix-up goes unseen
LANDMARKS = ["arch", "Köln bridge", "castle"]


def features(photos=6, seed=0):
    return np.random.default_rng(seed).normal(size=(photos, *SHAPE)).astype("float32")


def photos_8_by_12(photos=4):
    return np.random.default_rng(2).uniform(0, 255, (photos, 8, 12, 3)).astype("float32")


def tiny_recognizer(head):
    keras.utils.set_random_seed(3)
    photos = keras.Input((8, 12, 3))
    maps = keras.layers.Conv2D(SHAPE[-1], 4, strides=4)(keras.layers.Rescaling(1 / 255)(photos))
    backbone = keras.Model(photos, keras.layers.BatchNormalization()(maps), name="tiny")
    backbone.trainable = False
    recognizer = Recognizer(backbone, head, LANDMARKS)
    recognizer.build(backbone.input_shape)
    return recognizer
