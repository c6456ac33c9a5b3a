"""A part of the step by itself: what lies between a plain step at 2B and a regularized one."""

import functools

import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from cases import common, devices
from keras_temporal_reg.data import _pairing as pairing


def prepare(batch, size, jit_compile, part, loss="SparseJacobianLoss", pair_fraction=1.0):
    x = tf.constant(common.pictures(batch, size, size, 1))
    y = tf.constant(common.pictures(batch, size, size, 2, seed=1))
    motion = ktr.RandomAffine(seed=0)

    def pair(seed):
        return pairing.pair(x, y, transform=motion, seed=seed, pair_fraction=pair_fraction)[:2]

    seed = tf.constant([1, 2])
    y_true = tf.constant(pair(seed)[1])
    if part == "plain loss":
        loss, y_true = keras.losses.MeanSquaredError(), y_true[..., :2]
    else:
        loss = getattr(ktr.losses, loss)(common.ALPHA)
    y_pred = tf.constant(common.pictures(len(y_true), size, size, 2, seed=2))

    def loss_and_gradient(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    arguments = (seed,) if part == "pairing" else (y_true, y_pred)
    function = pair if part == "pairing" else loss_and_gradient
    call = tf.function(function, jit_compile=jit_compile, autograph=False)
    return lambda: devices.finish(call(*arguments))


version = functools.partial(common.versions, "tensorflow", "keras")
