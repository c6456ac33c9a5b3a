"""Keras's layer, which draws its motion by itself: rotations only, and no T for a loss."""

import functools

from tensorflow import keras

from cases import common, warps


def prepare(**setting):
    layer = keras.layers.RandomRotation(1.0 / 360.0, fill_mode="constant", seed=0)
    return warps.prepare(lambda images, motions: layer(images, training=True), **setting)


version = functools.partial(common.versions, "keras")
