"""Denoising: RGB with Gaussian noise to RGB."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_temporal_reg.core import seeding
from keras_temporal_reg.tasks._encoding import as_float32, from_target, to_display
from keras_temporal_reg.tasks._task import Task

_DEVIATION = 0.05


def _add_noise(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    (seed,) = seeding.split(seed, 1)
    return y + tf.random.stateless_normal(tf.shape(y), seed, stddev=_DEVIATION, dtype=y.dtype)


denoising = Task(
    "denoising",
    lambda rgb: from_target(_add_noise, rgb),
    to_display,
    baseline=lambda x: x,
    baseline_name="the input itself",
    encode_input=as_float32,
    make_input=_add_noise,
)
"""RGB in [0, 1] with Gaussian noise of standard deviation 0.05 to RGB without noise."""
