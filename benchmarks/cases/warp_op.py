"""TensorFlow's own op, with its registered gradient, which is not exact."""

import functools

import tensorflow as tf

from cases import common, warps


def warp(images, motions):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=motions,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def prepare(batch, size, gradient, dtype="float32", **setting):
    if gradient and dtype == "bfloat16":
        raise NotImplementedError("its gradient has no bfloat16")
    return warps.prepare(warp, batch, size, gradient, dtype=dtype, **setting)


version = functools.partial(common.versions, "tensorflow")
