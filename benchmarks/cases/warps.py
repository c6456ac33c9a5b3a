"""What the warps in TensorFlow share: a call that returns when its result is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from cases import common, devices


def with_gradient(
    warp: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    upstream: tf.Tensor,
    motions: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The warped images, and the gradient by the images."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        warped = warp(images, motions)
    return warped, tape.gradient(warped, images, upstream)


def prepare(
    warp: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    batch: int,
    size: int,
    gradient: bool,
    jit_compile: bool | None = None,
    eager: bool = False,
    dtype: str = "float32",
) -> Callable[[], Any]:
    images = tf.constant(common.pictures(batch, size, size, 3), dtype)
    upstream = tf.constant(common.pictures(batch, size, size, 3, seed=1), dtype)
    motions = tf.constant(common.motions(batch, size))

    def forward(images: tf.Tensor, motions: tf.Tensor) -> Any:
        return warp(images, motions)

    def both(images: tf.Tensor, motions: tf.Tensor) -> Any:
        return with_gradient(warp, images, upstream, motions)

    call = both if gradient else forward
    if not eager:
        call = tf.function(call, jit_compile=jit_compile)
    return lambda: devices.finish(call(images, motions))
