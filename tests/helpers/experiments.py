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


def row(method, strength=0.0, seed=0, data=24, steps=2000, sets=("validation", "clips"), **changes):
    """A made-up row, with two clips in each set, of which the second flickers twice as much."""
    measures = {
        "flicker": 10.0,
        "temporal_error": 1.0,
        "psnr": 30.0,
        "ssim": 0.9,
        "smoothness": 1.0,
        "contrast_ratio": 0.95,
        "relative_smoothness": 1.0,
        "structure": 0.7,
        "detail": 0.6,
        "warping_error": 1e-3,
        "baseline_psnr": 26.0,
        "reference_flicker": 5.0,
        **changes,
    }
    twice = {**measures, **{key: 2 * measures[key] for key in ("flicker", "reference_flicker")}}
    return {
        "method": method,
        "strength": strength,
        "steps": steps,
        "data": data,
        "seed": seed,
        "clips": {name: {"first": {**measures}, "second": {**twice}} for name in sets},
        "converged": None,
        "seconds": 1.0,
        "seconds_per_frame": 0.01,
        "settings": "made-up",
    }
