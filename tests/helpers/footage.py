"""Clips that move, and networks that flicker on them."""

import numpy as np
from scipy import ndimage
from tensorflow import keras

from keras_temporal_reg.io import image_files

layers = keras.layers


def moving(count=24, height=48, width=64, seed=0, step=0.7):
    """Frames ``(count, height, width, 3)`` in [0, 1] of a texture that moves by `step` pixels."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.uniform(size=(height, width + count, 3)), (2, 2, 0))
    texture = (texture - texture.min()) / np.ptp(texture)
    shifted = [ndimage.shift(texture, (0, -step * t, 0), order=1) for t in range(count)]
    return np.stack(shifted)[:, :, :width].astype(np.float32)


def write_folder(folder, frames):
    """A clip as a folder of images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        image_files.write(folder / f"{number:03d}.png", frame)
    return folder


def flickering(channels=3, seed=1, gain=1.5):
    """The input, and on top of it what a random network makes of fine detail, which flickers."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((None, None, channels))
    h = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    h = layers.Conv2D(8, 3, padding="same", activation="relu")(h)
    detail = layers.Conv2D(channels, 3, padding="same", name="detail")(h)
    model = keras.Model(x, layers.Add()([x, layers.Rescaling(gain)(detail)]))
    for layer in model.layers[1:3]:
        kernel, bias = layer.get_weights()
        kernel = kernel - kernel.mean(axis=(0, 1), keepdims=True)  # detail only
        layer.set_weights([2.0 * kernel, bias])
    return model
