"""Fuzz targets: each reader of user files as a function of a path, with small valid files as seeds.

A reader reads the file or raises ValueError or OSError (data sets: TensorFlow's OpError) with the
file's name in the message. Anything else is a find.
"""

import functools
import io
import itertools
import pathlib
import tempfile
import zipfile
from fractions import Fraction

import cv2
import h5py
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.io import image_files, video

REFUSALS = (ValueError, OSError, tf.errors.OpError)


def check(name, content, folder):
    """Let the reader of a target read `content`; raises whatever is a find."""
    target = folder / FILES[name]
    if name == "savedmodel" and not target.exists():
        save_doubler(target.parent)  # with the other files of a SavedModel
    target.write_bytes(in_archive(content) if name == "config" else content)
    path = folder / target.relative_to(folder).parts[0]  # of a SavedModel, its folder
    try:
        READERS[name](path)
    except REFUSALS as error:
        if path.name not in str(error):
            raise AssertionError(f"a message that does not name the file: {error}") from error


def read_clip(path):
    video.info(path)
    for _ in itertools.islice(video.frames(path), 30):
        pass


def read_hdf5(path):
    options = {"crop": 8, "batch_size": 2, "seed": 0}
    for _ in ktr.data.from_hdf5(path, sample_weight="w", **options).take(2):
        pass


READERS = {
    "png": image_files.read,
    "exr": image_files.read,
    "hdr": image_files.read,
    "clip": read_clip,
    "hdf5": read_hdf5,
    "keras": saved_models.load,
    "config": saved_models.load,
    "h5": saved_models.load,
    "savedmodel": saved_models.load,
}
FILES = {
    "png": "victim.png",
    "exr": "victim.exr",
    "hdr": "victim.hdr",
    "clip": "victim.mp4",
    "hdf5": "victim.hdf5",
    "keras": "victim.keras",
    "config": "victim.keras",
    "h5": "victim.h5",
    "savedmodel": "victim/saved_model.pb",
}


def noise(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(2, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 1),
        ]
    )


def saved_as(format):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        saved_models.save(network(), path, format)
        return path.read_bytes()


def in_archive(config):
    """A valid .keras file with another config."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved_as_keras())) as given, zipfile.ZipFile(made, "w") as out:
        for member in given.namelist():
            out.writestr(member, config if member == "config.json" else given.read(member))
    return made.getvalue()


@functools.lru_cache
def saved_as_keras():
    return saved_as("keras")


def image_seeds():
    bytes_ = image_files.to_uint8(noise(9, 12, 3))
    for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"):
        made = io.BytesIO()
        Image.fromarray(bytes_).save(made, format)
        yield made.getvalue()
    made = io.BytesIO()
    Image.fromarray(bytes_).quantize(16).save(made, "PNG")
    yield made.getvalue()


def exr_seeds():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "seed.exr"
        image_files.write(path, noise(9, 12, 3))
        yield path.read_bytes()


def hdr_seeds():
    yield cv2.imencode(".hdr", noise(9, 12, 3))[1].tobytes()


def clip_seeds():
    with tempfile.TemporaryDirectory() as folder:
        for suffix in video.CODECS:
            path = pathlib.Path(folder) / f"seed{suffix}"
            video.write(path, image_files.to_uint8(noise(3, 16, 16, 3)), Fraction(25))
            yield path.read_bytes()


def hdf5_seeds():
    for options in ({}, {"chunks": (1, 8, 12, 3), "compression": "gzip"}):
        made = io.BytesIO()
        with h5py.File(made, "w") as file:
            for name in ("x", "y"):
                file.create_dataset(name, data=noise(3, 9, 12, 3), **options)
            file["w"] = np.ones(3)
        yield made.getvalue()


def config_seeds():
    with zipfile.ZipFile(io.BytesIO(saved_as_keras())) as opened:
        yield opened.read("config.json")


def save_doubler(folder):
    class Doubler(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return 2.0 * x

    doubler = Doubler()
    tf.saved_model.save(doubler, str(folder), {"serving_default": doubler.__call__})


def savedmodel_seeds():
    with tempfile.TemporaryDirectory() as folder:
        save_doubler(folder)
        yield (pathlib.Path(folder) / "saved_model.pb").read_bytes()


SEEDS = {
    "png": image_seeds,
    "exr": exr_seeds,
    "hdr": hdr_seeds,
    "clip": clip_seeds,
    "hdf5": hdf5_seeds,
    "keras": lambda: [saved_as_keras()],
    "config": config_seeds,
    "h5": lambda: [saved_as("h5")],
    "savedmodel": savedmodel_seeds,
}
