"""Models in files for tests."""

import json
import pathlib
import zipfile

import h5py
import numpy as np
from tensorflow import keras

KERAS_3 = hasattr(keras, "ops")
KERAS_VERSION = "3.15.1" if KERAS_3 else "2.15.0"


ROOT = pathlib.Path(__file__).parents[2]


OWN_FORMATS = ("keras", "h5") if KERAS_3 else ("keras", "h5", "savedmodel")


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
        opened.writestr("metadata.json", json.dumps({"keras_version": version or KERAS_VERSION}))
    return path


def trainable():
    x = keras.Input((8, 8, 3))
    return keras.Model(x, keras.layers.Conv2D(3, 1)(x))


def functional(*layers):
    """The config of a model of Keras 2, in whose graph these layers stand beside the input."""
    given = {
        "class_name": "InputLayer",
        "name": "x",
        "config": {"name": "x", "batch_input_shape": [None, 8, 8, 3], "dtype": "float32"},
        "inbound_nodes": [],
    }
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]}
    config = {"name": "m", "layers": [given, *layers], **ends}
    return {"class_name": "Functional", "config": config}


def h5_file(path, config):
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.zeros(0, "S1")
        for group in (file, weights):
            group.attrs["keras_version"], group.attrs["backend"] = KERAS_VERSION, "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
    return path


def replace_weights(path, name, content):
    """Replace the weights in a .keras file by a member of this name."""
    with zipfile.ZipFile(path) as opened:
        members = {member: opened.read(member) for member in opened.namelist()}
    del members["model.weights.h5"]
    with zipfile.ZipFile(path, "w") as opened:
        for member, kept in {**members, name: content}.items():
            opened.writestr(member, kept)


def change_weights(path, format, change):
    """Call `change` with the open HDF5 file that holds a model's weights."""
    if format == "h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return
    weights = path.with_name("weights")
    with zipfile.ZipFile(path) as opened:
        weights.write_bytes(opened.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        change(file)
    replace_weights(path, "model.weights.h5", weights.read_bytes())


class Opaque(keras.Model):
    """A model without a config."""

    def __init__(self, filters):
        super().__init__()
        self.inner = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        raise NotImplementedError
