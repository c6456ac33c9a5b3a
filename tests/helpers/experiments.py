"""Small data and networks for the tests of the experiments."""

from fractions import Fraction

import numpy as np
from tensorflow import keras

from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.experiments import networks, scenes
from keras_temporal_reg.io import image_files, video


def write_clip_and_photograph(folder):
    """A clip of 8 frames and a photograph, ``own.mp4`` and ``photo.png``."""
    picture = np.clip(scenes.scene(1, 96, 112), 0.0, 1.0)
    path = camera.path(8, 96, 112)
    frames = [image_files.to_uint8(frame) for frame in camera.film(picture, path)]
    video.write(folder / "own.mp4", frames, Fraction(25))
    image_files.write(folder / "photo.png", picture)
    return folder / "own.mp4"


def shrink(monkeypatch):
    """Make generated clips smaller, and all networks of one layer."""
    clip = scenes.clip
    monkeypatch.setattr(scenes, "clip", lambda seed, frames, *size: clip(seed % 2, frames, 32, 48))

    def network(inputs, outputs):
        layer = keras.layers.Conv2D(outputs, 3, padding="same")
        return keras.Sequential([keras.Input((None, None, inputs)), layer])

    super_resolution_net = networks.super_resolution_net
    for name, made in {
        "hdr_unet": lambda channels: network(3, 3),
        "colorization_unet": lambda channels: network(1, 2),
        "super_resolution_net": lambda scale, channels: super_resolution_net(
            scale, channels, depth=1
        ),
        "denoising_net": lambda channels: network(3, 3),
    }.items():
        monkeypatch.setattr(networks, name, made)
