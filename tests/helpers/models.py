"""Models in files for tests."""

import json
import pathlib
import zipfile

from tensorflow import keras

KERAS_3 = hasattr(keras, "ops")


ROOT = pathlib.Path(__file__).parents[2]


OWN_FORMS = ("keras", "h5") if KERAS_3 else ("keras", "h5", "savedmodel")


NAMES = {"keras": "network.keras", "h5": "network.h5", "savedmodel": "network"}


def network(scale=2, channels=3):
    """With what many networks have: batch normalization, skips, halving, an up-sampling head."""
    from tensorflow import keras

    layers = keras.layers
    x = keras.Input((None, None, channels))
    h = layers.Conv2D(4, 3, padding="same")(x)
    h = layers.BatchNormalization()(h)
    first = layers.Activation("relu")(h)
    h = layers.MaxPooling2D()(first)
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(h)
    h = layers.Concatenate()([layers.UpSampling2D()(h), first])
    h = layers.UpSampling2D(scale, interpolation="bilinear")(h) if scale > 1 else h
    y = layers.Conv2D(3, 3, padding="same")(h)
    return keras.Model(x, y, name="network")


def config_file(path, config, version=None):
    """A .keras file of a config and nothing else."""
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        version = version or ("3.15.1" if KERAS_3 else "2.15.0")
        opened.writestr("metadata.json", json.dumps({"keras_version": version}))
    return path
