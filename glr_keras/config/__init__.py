"""Every choice of a run: its fields, flags, files and presets. No TensorFlow here."""

from glr_keras.config.backbones import BACKBONES
from glr_keras.config.comparison import LOCATIONS, MODEL_FIELDS, check_same_model, differences
from glr_keras.config.fit_config import OBJECTIVE, FitConfig
from glr_keras.config.flags import add_flags, from_flags
from glr_keras.config.json_files import EARLIER_VALUES, read_json, to_json
from glr_keras.config.presets import DEMO, PRESETS, new_config

__all__ = [
    "BACKBONES",
    "DEMO",
    "EARLIER_VALUES",
    "LOCATIONS",
    "MODEL_FIELDS",
    "OBJECTIVE",
    "PRESETS",
    "FitConfig",
    "add_flags",
    "check_same_model",
    "differences",
    "from_flags",
    "new_config",
    "read_json",
    "to_json",
]
