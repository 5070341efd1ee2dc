"""The config of the session's small run, for tests that train the same again."""

from glr_keras.config import FitConfig

SMALL_RUN = {
    "weights": "random",
    "image_size": 32,
    "precision": "float32",
    "cut_layer": "block2_pool",  # the first four convolutions are quick to save and trace
    "head_units": (16,),
    "attention_channels": 8,
    "batch_size": 6,  # divides 30: Keras averages the losses of branches per batch
    "pooling": "flatten",
    "optimizer": "adam",
    "schedule": "constant",
    "warmup_epochs": 0,
    "epochs": 4,
    "views": 1,
}


def small_config(data_dir, run_dir, **settings):
    return FitConfig(data_dir=str(data_dir), run_dir=str(run_dir), **(SMALL_RUN | settings))
