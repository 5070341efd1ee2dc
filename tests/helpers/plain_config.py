"""A config whose values tests can rely on while the defaults follow what measures best."""

from glr_keras.config import FitConfig

PLAIN = {
    "pooling": "flatten",
    "head_units": (4096, 4096),
    "dropout": 0.5,
    "attention_channels": 512,
    "optimizer": "sgd",
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "epochs": 3,
    "views": 0,
    "rotation": 45.0,
    "image_size": 224,
    "framing": "center",
    "plain_view": False,
    "attention_kernel": 3,
    "attention_map": "class-agnostic",
}


def plain_config(**settings):
    return FitConfig(**PLAIN | settings)
