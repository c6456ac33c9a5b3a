"""Batches, and T with a fixed draw, for the tests of pairing."""

import numpy as np
import tensorflow as tf

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.data import _pairing as pairing

SEED = (3, 4)
MOTION = ktr.RandomAffine(translation=2, rotation=5, zoom=0.1, shear=5, seed=0)


def random_batch(batch=3, height=6, width=8, channels=2, seed=0):
    shape = (batch, height, width, channels)
    return tf.constant(np.random.default_rng(seed).uniform(0, 1, shape), tf.float32)


def pair(x, y, *args, transform=MOTION, seed=SEED, **kwargs):
    return pairing.pair(x, y, transform, seed, *args, **kwargs)


def drawn(batch, height, width):
    """The oracle of T: what the motion draws for this seed."""
    return MOTION.sample(batch, height, width, seed=SEED)


def in_order_of(paired, samples, values=None):
    """`samples`, or a value of each, beginning with the sample that was paired first."""
    (start,) = np.flatnonzero((np.asarray(samples) == np.asarray(paired[0])).all(axis=(1, 2, 3)))
    return np.roll(samples if values is None else values, -start, axis=0)


def warped(images, rows):
    return image.transform(images, rows, "bilinear", "reflect")
