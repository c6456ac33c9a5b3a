"""Train image-to-image CNNs to be temporally stable, from single images."""

from tensorflow import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_temporal_reg needs Keras on the TensorFlow backend; set KERAS_BACKEND=tensorflow. "
        f"Received: {_keras.backend.backend()}"
    )

from keras_temporal_reg import callbacks, data, image, losses, metrics, tasks, transforms
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

__all__ = [
    "RandomAffine",
    "RegularizedModel",
    "callbacks",
    "data",
    "image",
    "losses",
    "metrics",
    "tasks",
    "transforms",
]
__version__ = "0.1.0"
