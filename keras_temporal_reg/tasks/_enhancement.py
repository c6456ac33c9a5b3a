"""Enhancement of photographs and video: low light, blur, and the noise of sensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import degradations, seeding
from keras_temporal_reg.tasks._encoding import as_float32, from_target, to_display
from keras_temporal_reg.tasks._task import Task

SHOT, READ = 0.08, 0.02  # standard deviations of sensor noise, at white and at black
DIMMED, CURVE = 0.3, 1.5  # what is left of white in low light, and the exponent of its curve
LOW_LIGHT_SHOT, LOW_LIGHT_READ = 0.04, 0.01
BLUR, BLUR_NOISE = 1.5, 0.01  # pixels; standard deviation of the noise that is added


def _with_sensor_noise(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    (seed,) = seeding.split(seed, 1)
    return degradations.add_sensor_noise(y, seed, SHOT, READ)


def _in_low_light(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    (seed,) = seeding.split(seed, 1)
    dark = DIMMED * tf.pow(tf.maximum(y, 0.0), CURVE)
    noisy = degradations.add_sensor_noise(dark, seed, LOW_LIGHT_SHOT, LOW_LIGHT_READ)
    return tf.clip_by_value(noisy, 0.0, 1.0)


def _blurred(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    (seed,) = seeding.split(seed, 1)
    return degradations.add_sensor_noise(degradations.blur(y, BLUR, BLUR), seed, 0.0, BLUR_NOISE)


def _brighten(x: np.ndarray) -> np.ndarray:
    light = np.clip(np.asarray(x, np.float32) / np.float32(DIMMED), 0.0, 1.0)
    return (light ** (1.0 / CURVE)).astype(np.float32)


def _task(
    name: str,
    degrade: Callable[..., tf.Tensor],
    baseline: Callable[[np.ndarray], np.ndarray] = as_float32,
    baseline_name: str = "the input itself",
) -> Task:
    return Task(
        name,
        lambda rgb: from_target(degrade, rgb),
        to_display,
        baseline=baseline,
        baseline_name=baseline_name,
        encode_input=as_float32,
        make_input=degrade,
    )


sensor_denoising = _task("sensor-denoising", _with_sensor_noise)
"""RGB in [0, 1] with noise of a camera (Poisson-Gaussian, of variance 0.08**2 v + 0.02**2 at the
value v) to RGB without noise."""

low_light = _task("low-light", _in_low_light, _brighten, "the input, brightened")
"""Dark and noisy RGB to RGB in [0, 1]: 0.3 of the light, a curve, and sensor noise."""

deblurring = _task("deblurring", _blurred)
"""RGB in [0, 1] with a Gaussian blur of 1.5 pixels and a little noise to sharp RGB."""
