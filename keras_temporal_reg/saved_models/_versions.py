"""Versions of Keras and of the other software that a result depends on."""

from __future__ import annotations

import importlib
import platform

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import __version__

KERAS_3 = hasattr(keras, "ops")
LEGACY_STACK = (
    "The legacy stack can: pip install keras-temporal-reg[legacy-keras], then "
    "TF_USE_LEGACY_KERAS=1 ktr ..."
)


def keras_version() -> str:
    """The version of the Keras in use, which is not `keras.__version__` on every stack."""
    package = importlib.import_module(keras.Model.__module__.split(".")[0])
    return str(getattr(package, "__version__", ""))


def versions() -> dict[str, str]:
    """The versions of this package, TensorFlow, Keras and Python."""
    return {
        "keras_temporal_reg": __version__,
        "tensorflow": tf.__version__,
        "keras": keras_version(),
        "python": platform.python_version(),
    }
