"""The way of research code: f(x) and f(T(x)) in two passes, warped by TensorFlow's op."""

import functools

import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from cases import common, steps, warp_op


class TwoPasses(keras.Model):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.motion = ktr.RandomAffine(seed=0)

    def call(self, x, training=None):
        return self.network(x, training=training)

    def train_step(self, data):
        x, y = data[:2]
        motions = self.motion.sample(x.shape[0], x.shape[1], x.shape[2])
        moved_x, moved_y = warp_op.warp(x, motions), warp_op.warp(y, motions)
        with tf.GradientTape() as tape:
            output = self.network(x, training=True)
            moved_output = self.network(moved_x, training=True)
            vis = tf.reduce_mean(tf.square(output - y))
            change = (moved_output - output) - (moved_y - y)
            reg = tf.reduce_mean(tf.square(change))
            loss = (1.0 - common.ALPHA) * vis + common.ALPHA * reg
        weights = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return {"loss": loss}


def prepare(batch, size, jit_compile):
    if jit_compile:
        raise NotImplementedError("TensorFlow's op does not compile")
    return steps.prepare(TwoPasses(steps.network()), "mse", batch, size, jit_compile)


version = functools.partial(common.versions, "tensorflow", "keras")
