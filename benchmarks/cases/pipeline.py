"""A tf.data pipeline that crops pictures and pairs them: seconds for 20 batches."""

import functools

import tensorflow as tf

import keras_temporal_reg as ktr
from cases import common, warp_op


def prepare(batch, size, paired="ktr", pair_fraction=1.0):
    pictures = tf.constant(common.pictures(32, 2 * size, 2 * size, 3))

    def crop(number):
        place = tf.random.uniform((2,), 0, size, tf.int32)
        crop = tf.slice(pictures[number % 32], [place[0], place[1], 0], [size, size, 3])
        return crop[..., :1], crop[..., 1:]

    dataset = tf.data.Dataset.counter().map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch, drop_remainder=True)
    motion = ktr.RandomAffine(seed=0)
    if paired == "ktr":
        dataset = ktr.data.pair_with_transformed(dataset, motion, pair_fraction=pair_fraction)
    elif paired == "op":

        def pair(x, y):
            motions = motion.sample(batch, size, size)
            x = tf.concat([x, warp_op.warp(x, motions)], axis=0)
            return x, tf.concat([y, warp_op.warp(y, motions)], axis=0)

        dataset = dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
    batches = iter(dataset.prefetch(1))
    # Many at once, and few made in advance: while others are timed, batches may be waiting.
    return lambda: [next(batches) for _ in range(20)]


version = functools.partial(common.versions, "tensorflow")
