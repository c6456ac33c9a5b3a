"""Which Keras runs, on which backend."""

from __future__ import annotations

import os

from tensorflow import keras


def require_tensorflow() -> None:
    """Raise ImportError unless Keras runs on the TensorFlow backend."""
    try:
        backend = keras.backend.backend()
    except ImportError:  # Keras itself fails where the other backend is not installed.
        backend = os.environ.get("KERAS_BACKEND", "one that cannot be imported")
    if backend != "tensorflow":
        raise ImportError(
            "keras_temporal_reg needs Keras on the TensorFlow backend; set "
            f"KERAS_BACKEND=tensorflow. Received: {backend}"
        ) from None
