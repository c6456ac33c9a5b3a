"""What cameras do to images: noise and blur. For images in [0, 1], in TensorFlow ops."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def add_sensor_noise(images: tf.Tensor, seed: Any, shot: Any, read: Any) -> tf.Tensor:
    """Noise whose variance rises with the light: ``shot**2 * value + read**2``.

    Args:
        images: ``(batch, height, width, channels)``.
        seed: two integers that determine the noise.
        shot: standard deviation at white; a number, or one for each image, ``(batch, 1, 1, 1)``.
        read: standard deviation at black, likewise.
    """
    variance = shot**2 * tf.maximum(images, 0.0) + read**2
    noise = tf.random.stateless_normal(tf.shape(images), seed, dtype=images.dtype)
    return images + tf.sqrt(variance) * noise


def blur(images: tf.Tensor, sigma: Any, largest: float) -> tf.Tensor:
    """Blur by a Gaussian; border pixels are repeated.

    Args:
        images: ``(batch, height, width, channels)``.
        sigma: pixels; a number, or one for each image, ``(batch, 1, 1, 1)``.
        largest: of the sigmas, from which the size of the window follows.
    """
    sigma = tf.maximum(tf.cast(sigma, images.dtype), 1e-3)
    for axis in (1, 2):
        images = _blur_along(images, sigma, math.ceil(3.0 * largest), axis)
    return images


def _blur_along(images: tf.Tensor, sigma: tf.Tensor, reach: int, axis: int) -> tf.Tensor:
    size = tf.shape(images)[axis]
    index = tf.clip_by_value(tf.range(-reach, size + reach), 0, size - 1)
    padded = tf.gather(images, index, axis=axis)
    total: Any = 0.0
    norm: Any = 0.0
    for offset in range(2 * reach + 1):
        weight = tf.exp(-0.5 * ((offset - reach) / sigma) ** 2)
        total += weight * tf.gather(padded, tf.range(offset, offset + size), axis=axis)
        norm += weight
    return tf.ensure_shape(total / norm, images.shape)
