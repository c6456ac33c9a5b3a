"""What the warps in TensorFlow share: a call that returns when its result is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from cases import common, devices


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
        with tf.GradientTape() as tape:
            tape.watch(images)
            warped = warp(images, motions)
        return warped, tape.gradient(warped, images, upstream)

    call = both if gradient else forward
    if not eager:
        call = tf.function(call, jit_compile=jit_compile)
    return lambda: devices.finish(call(images, motions))
