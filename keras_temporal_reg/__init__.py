"""Train image-to-image CNNs to be temporally stable, from single images."""

import os as _os
from typing import Any as _Any

from tensorflow import keras as _keras

try:
    _backend = _keras.backend.backend()
except ImportError:  # Keras itself fails where the other backend is not installed.
    _backend = _os.environ.get("KERAS_BACKEND", "one that cannot be imported")
if _backend != "tensorflow":
    raise ImportError(
        "keras_temporal_reg needs Keras on the TensorFlow backend; set KERAS_BACKEND=tensorflow. "
        f"Received: {_backend}"
    ) from None

from keras_temporal_reg import callbacks, camera, data, image, losses, metrics, tasks, transforms
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

__all__ = [
    "RandomAffine",
    "RegularizedModel",
    "callbacks",
    "camera",
    "choose_alpha",
    "data",
    "evaluate",
    "finetune",
    "image",
    "losses",
    "metrics",
    "process",
    "reproduce",
    "tasks",
    "transforms",
]
__version__ = "0.1.0"

# What needs the extras is imported when it is first used.
_LATER = {
    "choose_alpha": "choosing",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "process": "processing",
    "reproduce": "experiments",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
