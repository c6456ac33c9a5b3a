"""Transforms for tests."""

import types

import tensorflow as tf

import keras_temporal_reg as ktr


def shift_right():
    """A transform without a seed: one pixel to the right."""

    def sample(batch_size, height, width, seed=None):
        return tf.tile(tf.constant([[1.0, 0, -1, 0, 1, 0, 0, 0]]), (batch_size, 1))

    def apply(images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "nearest")

    return types.SimpleNamespace(sample=sample, apply=apply)
