"""A small backbone with a trunk, and photos for it, for tests of what is behind a stored layer."""

import numpy as np

SMALL_TRUNK = {
    "weights": "random",
    "image_size": 32,
    "precision": "float32",
    "cut_layer": "block3_pool",
    "pooling": "average",
    "head_units": (6,),  # the last layer then starts at random, so that gradients reach the trunk
    "attention_channels": 4,
    "optimizer": "sgd",
    "momentum": 0.0,
    "learning_rate": 0.1,
    "schedule": "constant",
    "warmup_epochs": 0,
}
PHOTOS = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0])
