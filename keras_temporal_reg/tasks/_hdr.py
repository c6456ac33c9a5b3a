"""HDR reconstruction, and the virtual camera that captures its inputs.

The camera follows the training code of Eilertsen, Mantiuk and Unger (CVPR 2019): exposure, a
sigmoid response curve, noise, and 8 bits or JPEG.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding
from keras_temporal_reg.tasks._encoding import as_float32, from_target, to_display
from keras_temporal_reg.tasks._task import Task

OFFSET = 1.0 / 255.0
"""Light that is added before the logarithm is taken."""
CURVE_EXPONENT, CURVE_OFFSET = 0.9, 0.6  # of the mean response curve


def to_log(light: np.ndarray) -> np.ndarray:
    """Return ``log(light + 1/255)``, the target of networks for HDR; float32."""
    return np.log(np.asarray(light, np.float32) + np.float32(OFFSET))


def to_light(y: tf.Tensor) -> tf.Tensor:
    """Return the linear light of `to_log`, at least 0."""
    return tf.maximum(tf.exp(y) - OFFSET, 0.0)


def respond(light: tf.Tensor, exponent: Any, offset: Any, noise: tf.Tensor) -> tf.Tensor:
    """Return the camera's response to light: clipped at 1, a sigmoid curve, noise added.

    Args:
        light: linear light; 1 is white.
        exponent: of the curve ``(1 + offset) * light**exponent / (light**exponent + offset)``.
        offset: of the curve.
        noise: added to the result, in the shape of `light`.

    Returns:
        Values in [0, 1], in the shape of `light`.
    """
    power = tf.pow(tf.clip_by_value(light, 0.0, 1.0) + 1e-8, exponent)
    return tf.clip_by_value((1.0 + offset) * power / (power + offset) + noise, 0.0, 1.0)


def invert_response(x: np.ndarray) -> np.ndarray:
    """Return the light in [0, 1] that the mean response curve maps to x; float64."""
    x = np.clip(np.asarray(x, np.float64), 0.0, 1.0)
    return (CURVE_OFFSET * x / (1.0 + CURVE_OFFSET - x)) ** (1.0 / CURVE_EXPONENT)


def capture(
    y: tf.Tensor, seed: Any = None, *, expose: bool = True, jpeg: bool = False
) -> tf.Tensor:
    """Return what a random camera captures of each image.

    The exponent of the response curve is drawn from N(0.9, 0.1), its offset from N(0.6, 0.1), and
    the standard deviation of the noise from 0 to 0.01, for each image.

    Args:
        y: ``(batch, height, width, 3)`` float, as from `to_log`.
        seed: two integers; None draws with TensorFlow's global seed.
        expose: whether to expose each image so that 5 to 15 % of its pixels clip. Without it,
            light above 1 clips: a network cannot know which light white stands for.
        jpeg: whether to store x as JPEG with a quality of 30 to 100 in place of plain 8 bits.

    Returns:
        x in [0, 1], in the shape of y.
    """
    seeds = seeding.split(seed, 5)
    noise_seed, deviation_seed, offset_seed, exponent_seed, exposure_seed = seeds
    batch = tf.shape(y)[0]

    def draw(seed: tf.Tensor, mean: float, low: float, high: float) -> tf.Tensor:
        drawn = tf.random.stateless_normal((batch, 1, 1, 1), seed, mean, 0.1, dtype=y.dtype)
        return tf.clip_by_value(drawn, low, high)

    exponent = draw(exponent_seed, CURVE_EXPONENT, 0.5, 1.5)
    offset = draw(offset_seed, CURVE_OFFSET, 0.2, 1.2)
    deviation = tf.random.stateless_uniform(
        (batch, 1, 1, 1), deviation_seed, 0.0, 0.01, dtype=y.dtype
    )
    noise = deviation * tf.random.stateless_normal(tf.shape(y), noise_seed, dtype=y.dtype)
    light = to_light(y)
    if expose:
        light = _expose(light, exposure_seed)
    x = respond(light, exponent, offset, noise)
    if not jpeg:
        return tf.round(x * 255.0) / 255.0
    quality_seed = tf.random.experimental.stateless_fold_in(exposure_seed, 1)
    quality = tf.random.stateless_uniform((batch,), quality_seed, 30, 101, tf.int32)
    return store_as_jpeg(x, quality)


def _expose(light: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return the light of each image, scaled so that 5 to 15 % of its pixels are above 1."""
    batch = tf.shape(light)[0]
    clipped = tf.random.stateless_uniform((batch,), seed, 0.05, 0.15, dtype=light.dtype)
    ordered = tf.sort(tf.reshape(tf.reduce_max(light, axis=-1), (batch, -1)), axis=-1)
    pixels = tf.cast(tf.shape(ordered)[1], light.dtype)
    rank = tf.cast((1.0 - clipped) * (pixels - 1.0), tf.int32)
    white = tf.gather(ordered, rank, batch_dims=1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return light / tf.maximum(white, 1e-6)


def store_as_jpeg(x: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Return images in [0, 1] as JPEG stores them.

    Args:
        x: ``(batch, height, width, 3)`` float32.
        quality: ``(batch,)`` int32, from 0 to 100.
    """
    stored = tf.map_fn(
        lambda pair: tf.image.adjust_jpeg_quality(*pair),
        (x, quality),
        fn_output_signature=tf.TensorSpec(x.shape[1:], tf.float32),
    )
    return tf.ensure_shape(stored, x.shape)


def _decode(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    light = np.maximum(np.exp(np.clip(prediction, -20.0, 20.0)) - OFFSET, 0.0)
    # Global tone mapping (Reinhard et al. 2002), then the gamma of displays.
    return to_display(x, (light / (1.0 + light)) ** (1.0 / 2.2))


hdr = Task(
    "hdr",
    lambda light: from_target(capture, to_log(light)),
    _decode,
    baseline=lambda x: to_log(np.asarray(x) ** 2.2),
    baseline_name="the input itself",
    encode_input=as_float32,
    make_input=capture,
)
"""An RGB capture in [0, 1] to log(light + 1/255), light being linear. Training images are EXR or
HDR files; the virtual camera stores 8 bits, without the JPEG step of the authors' training code."""
